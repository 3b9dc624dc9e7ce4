//! What a gateway says on standard error while it runs, wherever its log goes.

use std::fs;

use super::serve::{Served, write};

#[test]
fn policies_and_reloads_are_told_where_the_journal_is() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let settings = write(folder.path(), "settings.toml", "ports = [443]\n");
    let text = |more: &str| {
        format!(
            "admin.enabled = false\nrecords.log.to = \"file:{}\"\npolicy = {{settings = \"settings.toml\", interval = \"20ms\"}}\n\
             {more}\n[[listener]]\nbind = \"127.0.0.1:0\"\n",
            log.display()
        )
    };
    let config = write(folder.path(), "gateway.toml", &text(""));
    let mut served = Served::start(&[config.to_str().unwrap()]);
    served.address();
    fs::write(&settings, "ports = [80]\n").unwrap();
    served.wait_for("policy: generation 2 is active (by file)");
    fs::write(&settings, "ports = 'all'\n").unwrap();
    served.wait_for("policy: refused at load (by file), what was active stays");
    fs::write(&config, text("dns.timeout = \"1s\"")).unwrap();
    served.signal("-HUP");
    served.wait_for("reload: changes with a restart only: `dns.timeout`");
    served.signal("-TERM");
    served.end();
}
