//! `pinfold credential`: an entry for the file of credentials.

use std::io::{self, IsTerminal, Read};

use pinfold_gateway::{
    config::SubjectName,
    credential::{self, Entry, Unfit},
};

use crate::{
    exit::Exit,
    fault::Fault,
    output::{self, Output},
};

/// Make a credential for clients of a gateway
///
/// Prints the entry to append to the file that `identity.credentials` of a listener names. It holds a hash, never
/// the secret: Argon2id of a password, SHA-256 of a token. The secret is read from standard input, or made; it is
/// never an argument, where other users of the machine could read it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The subject: who it is for. With a password also the user name
    #[arg(value_name = "NAME")]
    name: SubjectName,

    /// A token (`Proxy-Authorization: Bearer`) instead of a password
    #[arg(long)]
    bearer: bool,

    /// Make a random secret, and print it to standard error, once
    #[arg(long)]
    generate: bool,

    /// When it ends, such as `2027-01-31T00:00:00Z`. Default: never
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold credential payments --generate >> credentials.toml
  pinfold credential payments < password.txt >> credentials.toml
  pinfold credential batch --bearer --generate --expires 2027-01-31T00:00:00Z >> credentials.toml";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let secret = match args.generate {
        true => credential::generated().map_err(unfit)?,
        false => given()?,
    };
    let entry = args.entry(&secret)?;
    out.line(entry)?;
    if args.generate {
        out.flush()?;
        output::note(format_args!(
            "the secret, which is stored nowhere: {secret}"
        ));
    }
    Ok(Exit::Ok)
}

impl Args {
    fn entry(&self, secret: &str) -> anyhow::Result<Entry> {
        let name = self.name.clone();
        let entry = match self.bearer {
            true => credential::bearer_entry(name, secret),
            false => credential::basic_entry(name, secret),
        };
        let entry = entry.map_err(unfit)?;
        let Some(time) = &self.expires else {
            return Ok(entry);
        };
        let until = entry.until(time);
        until.map_err(|error| {
            let hint = error.advice().unwrap_or_default();
            Fault::new(error.to_string(), hint).into()
        })
    }
}

/// The first line of standard input, without its end.
fn given() -> anyhow::Result<String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // A terminal would show what is typed.
        let message = "the secret is read from standard input, which is a terminal";
        return Err(Fault::new(message, "give a file (`< password.txt`), or `--generate`").into());
    }
    let mut text = Vec::new();
    stdin.lock().take(MAX_SECRET).read_to_end(&mut text)?;
    let text = String::from_utf8(text)
        .map_err(|_| Fault::new("the secret is not UTF-8", "give it as text"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn unfit(unfit: Unfit) -> Fault {
    let hint = match unfit {
        Unfit::Colon => {
            "the name ends at its first colon: choose another, or make a token (`--bearer`)"
        }
        Unfit::Machine => "free some memory, and try again",
        _ => "`--generate` makes one that is fit",
    };
    Fault::new(unfit.to_string(), hint)
}

/// What is read of a secret, in bytes; longer ones are refused as too long.
const MAX_SECRET: u64 = 4 << 10;
