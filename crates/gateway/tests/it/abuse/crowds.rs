//! Many at once, and many made up.

use super::*;

/// The number of a series of metrics.
fn value(metrics: &str, series: &str) -> f64 {
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(series));
    let number = lines.next().unwrap_or_else(|| panic!("no {series}"));
    number.trim().parse().unwrap()
}

#[tokio::test]
async fn a_flood_is_refused_and_who_is_served_goes_on() {
    let echo = Echo::start(PUBLIC).await;
    let proxy = Proxy::with("limits = {connections = 20, tunnels = 10, head_time = '5s'}").await;
    let mut tunnel = proxy.tunnel(&echo.at(NAME)).await;
    let flooding = Arc::new(AtomicBool::new(true));
    let address = proxy.address();
    let flood = tokio::spawn({
        let flooding = Arc::clone(&flooding);
        async move {
            let (mut held, mut refused) = (Vec::new(), 0);
            for _ in 0..400 {
                let mut client = Client::connect(address).await;
                let _ = client
                    .try_send(b"GET http://internal.lab.example.com/ HTTP/1.1\r\nX: ")
                    .await;
                held.push(client);
            }
            // Those who are beyond the bound have heard so; the others wait for the rest of their heads.
            for client in &mut held {
                let heard = timeout(Duration::from_millis(20), client.rest_or_head()).await;
                refused += usize::from(heard.is_ok());
            }
            flooding.store(false, Ordering::SeqCst);
            refused
        }
    });
    let mut rounds = 0;
    while flooding.load(Ordering::SeqCst) {
        tunnel.send(b"still served").await;
        assert_eq!(tunnel.exactly(12).await, b"still served");
        rounds += 1;
        sleep(Duration::from_millis(5)).await;
    }
    let refused = within("the flood", flood).await.unwrap();
    assert!(refused >= 380, "{refused} of 400 were refused");
    assert!(rounds > 0);
    let usage = proxy.admin_json("/status").await["usage"].clone();
    assert!(
        usage["connections"]["open"].as_u64().unwrap() <= 20,
        "{usage}"
    );
    drop(tunnel);
    nothing_is_left(&proxy, "after the flood").await;
    assert_eq!(
        status(
            &proxy
                .client()
                .await
                .connect_to("internal.lab.example.com:443")
                .await
        ),
        403
    );
    let (_, metrics) = proxy.admin("/metrics").await;
    let counted = metrics.lines().filter(|line| {
        line.starts_with("pinfold_refused_total{") && line.contains("limit-connections")
    });
    assert!(counted.count() > 0, "{metrics}");
}

#[tokio::test]
async fn what_is_made_up_by_thousands_grows_nothing() {
    let over = "[[listener]]\nbind = '127.0.0.1:0'\nproxy_protocol = {from = ['127.0.0.1/32']}\n\
                identity = {ways = ['source'], networks = {'10.0.0.0/8' = 'inside'}}";
    let proxy = Proxy::with(over).await;
    let burst = async |round: u32| {
        for number in 0..1_000_u32 {
            let [_, a, b, c] = (round * 1_000 + number).to_be_bytes();
            let mut client = proxy.client().await;
            // An address, a host, a method and a trace that nobody has seen before.
            let request = format!(
                "PROXY TCP4 10.{a}.{b}.{c} 127.0.0.1 {} 443\r\nM{round}X{number} http://h{round}-{number}.internal/ HTTP/1.1\r\n\
                 Host: x\r\nConnection: close\r\n\r\n",
                1_000 + number
            );
            client.send(request.as_bytes()).await;
            assert_eq!(status(&client.head().await), 403);
        }
        nothing_is_left(&proxy, "a burst").await;
        proxy.admin("/metrics").await.1
    };
    let first = burst(0).await;
    let (mut last, mut series) = (String::new(), Vec::new());
    for round in 1..4 {
        last = burst(round).await;
        series.push(last.lines().count());
    }
    assert_eq!(series, vec![first.lines().count(); 3], "series of metrics");
    assert_eq!(value(&last, "pinfold_sources "), 0.0);
    assert!(value(&last, "pinfold_subjects ") <= 1.0);
    let grown = value(&last, "process_resident_memory_bytes ")
        - value(&first, "process_resident_memory_bytes ");
    // 3,000 requests: a few hundred bytes kept of each would show.
    assert!(grown < f64::from(24 << 20), "{grown} bytes more");
}

#[tokio::test]
async fn names_and_tokens_that_are_guessed_are_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let entry = pinfold_gateway::credential::bearer_entry(
        "svc".parse().unwrap(),
        "0123456789abcdef0123456789abcdef",
    )
    .unwrap();
    let credentials = file(folder.path(), "credentials.toml", entry.to_string());
    let proxy = Proxy::with(&format!(
        "[[listener]]\nbind = '127.0.0.1:0'\nidentity = {{ways = ['bearer'], required = true, credentials = '{}'}}",
        credentials.display()
    ))
    .await;
    let mut client = proxy.client().await;
    let mut guess = async |number: u32| {
        let request = format!(
            "GET http://{NAME}/ HTTP/1.1\r\nHost: {NAME}\r\nProxy-Authorization: Bearer guess-{number:032}\r\n\r\n"
        );
        client.send(request.as_bytes()).await;
        assert_eq!(status(&client.answer().await.0), 407);
    };
    guess(0).await;
    // The policy of the start is told beside the traffic, perhaps after the first answer.
    until("the policy is told", async || {
        let (_, metrics) = proxy.admin("/metrics").await;
        metrics.contains("pinfold_policy_info{")
    })
    .await;
    let (_, first) = proxy.admin("/metrics").await;
    for number in 1..=2_000 {
        guess(number).await;
    }
    let (_, last) = proxy.admin("/metrics").await;
    assert_eq!(last.lines().count(), first.lines().count());
    let counted = "pinfold_auth_failures_total{listener=\"proxy\",code=\"credentials-wrong\"} ";
    assert_eq!(value(&last, counted), 2_001.0);
    let denials = proxy.admin_json("/denials").await;
    assert!(denials["denials"].as_array().unwrap().len() <= 1_000);
    drop(client);
    nothing_is_left(&proxy, "after the guesses").await;
}
