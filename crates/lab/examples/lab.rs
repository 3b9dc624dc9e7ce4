//! Starts the lab and waits: `cargo run -p pinfold-lab --example lab`.
#![expect(clippy::print_stdout, reason = "an example for people")]

use pinfold_lab::{APEX, Lab, dns};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::start().await?;
    println!("name server    {} (udp and tcp)", lab.dns().addr());
    println!("public         {}", lab.public().addr());
    if let Some(public) = lab.public_v6() {
        println!("public, IPv6   {}", public.addr());
    }
    println!("public, TLS    {}", lab.tls().addr());
    for canary in lab.canaries() {
        println!("canary         {}", canary.addr());
    }
    println!("\nnames, `*` is anything, each with a state of its own:");
    for attack in dns::attacks(&lab.scene()) {
        println!("  *.{}.{APEX}  {}", attack.name, attack.about);
    }
    println!("\n{}", lab.authority().pem());
    std::future::pending().await
}
