//! `cargo xtask tables`: registry data in `crates/addr/data` -> `crates/addr/src/tables.rs`.
//!
//! The data files are the source: a reviewer compares them with the registries, and the drift test of
//! `pinfold-addr` compares them with what `classify` answers. The table is what the compiler reads.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Files with a class in each row; for the same prefix the later file wins.
const REGISTRIES: [&str; 4] = [
    "ipv6-address-space.csv",
    "ipv4-special-purpose.csv",
    "ipv6-special-purpose.csv",
    "additions.csv",
];
const METADATA: &str = "metadata-addresses.csv";
const NAMES: &str = "names.csv";

/// Writes the table, or with `check` fails when the committed one differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let addr = Path::new(env!("CARGO_MANIFEST_DIR")).join("../addr");
    let table = addr.join("src/tables.rs");
    let generated = generate(&addr.join("data"))?;
    if !check {
        return fs::write(&table, generated).with_context(|| format!("cannot write {table:?}"));
    }
    let committed = fs::read_to_string(&table).with_context(|| format!("cannot read {table:?}"))?;
    ensure!(
        committed == generated,
        "`crates/addr/src/tables.rs` is not what its data says\n\nhint: run `cargo xtask tables`"
    );
    Ok(())
}

fn generate(data: &Path) -> Result<String> {
    let mut registered = BTreeMap::new();
    for file in REGISTRIES {
        registered.extend(prefixes(&data.join(file))?);
    }
    let metadata = prefixes(&data.join(METADATA))?;
    let names = Csv::read(&data.join(NAMES))?;

    let mut out = String::from(HEADER);
    out += &table_of_prefixes(
        "IPV4",
        "Registered prefixes of IPv4",
        &registered,
        IpAddr::is_ipv4,
    );
    out += &table_of_prefixes(
        "IPV6",
        "Registered prefixes of IPv6",
        &registered,
        IpAddr::is_ipv6,
    );
    out += &table_of_prefixes(
        "METADATA_IPV4",
        "Metadata endpoints, IPv4",
        &metadata,
        IpAddr::is_ipv4,
    );
    out += &table_of_prefixes(
        "METADATA_IPV6",
        "Metadata endpoints, IPv6",
        &metadata,
        IpAddr::is_ipv6,
    );
    out += &table_of_names(
        "METADATA_NAMES",
        "Names of metadata endpoints",
        "metadata",
        &names,
    )?;
    out += &table_of_names(
        "SPECIAL_USE_NAMES",
        "Special-use names",
        "special-use",
        &names,
    )?;
    Ok(out)
}

const HEADER: &str = "\
//! Registry data as sorted tables. Generated from `crates/addr/data` by `cargo xtask tables`: edit the
//! data, not this file.

use crate::{Class, names::Name, registry::Row};
";

/// A row of prefixes, keyed by first address and length: the order of the table.
type Prefixes = BTreeMap<(IpAddr, u8), Registered>;

struct Registered {
    class: String,
    name: String,
    source: String,
}

fn prefixes(file: &Path) -> Result<Prefixes> {
    let csv = Csv::read(file)?;
    let mut prefixes = Prefixes::new();
    for row in csv.rows() {
        let key = prefix(row.get("prefix")?).with_context(|| row.place())?;
        // The file of metadata endpoints has no such column: all its rows have one class.
        let class = row.get("class").unwrap_or("metadata");
        check_reachability(class, row.get("globally_reachable").ok())
            .with_context(|| row.place())?;
        let registered = Registered {
            class: variant(class).with_context(|| row.place())?,
            name: row.get("name")?.into(),
            source: row.get("source")?.into(),
        };
        ensure!(
            prefixes.insert(key, registered).is_none(),
            "{}: given twice",
            row.place()
        );
    }
    Ok(prefixes)
}

fn prefix(text: &str) -> Result<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').context("a prefix has a length")?;
    let (address, length) = (address.parse()?, length.parse()?);
    let host_bits = match address {
        IpAddr::V4(ip) => {
            ensure!(length <= 32, "too long for IPv4");
            u128::from(ip.to_bits()) << 96
        }
        IpAddr::V6(ip) => {
            ensure!(length <= 128, "too long for IPv6");
            ip.to_bits()
        }
    };
    let rest = host_bits.checked_shl(u32::from(length)).unwrap_or(0);
    ensure!(rest == 0, "`{text}` has bits after its length");
    Ok((address, length))
}

/// The class must not contradict the registry: what is not globally reachable is never dialled as if it were.
fn check_reachability(class: &str, globally_reachable: Option<&str>) -> Result<()> {
    let reachable = matches!(class, "public" | "special-global");
    match globally_reachable {
        None => Ok(()),
        Some("false" | "n/a") => {
            ensure!(!reachable, "class `{class}`, though not globally reachable");
            Ok(())
        }
        // Translation reaches what it wraps, which is judged for itself.
        Some("true") => {
            ensure!(
                reachable || class == "translated",
                "class `{class}`, though globally reachable"
            );
            Ok(())
        }
        Some(other) => bail!("`{other}` is none of true, false, n/a"),
    }
}

/// `link-local` -> `LinkLocal`. Whether the class exists is for the compiler of the table to say.
fn variant(class: &str) -> Result<String> {
    ensure!(
        class
            .split('-')
            .all(|word| word.starts_with(|c: char| c.is_ascii_lowercase())),
        "`{class}` is no class"
    );
    Ok(class
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect())
}

fn table_of_prefixes(
    name: &str,
    doc: &str,
    prefixes: &Prefixes,
    family: impl Fn(&IpAddr) -> bool,
) -> String {
    let mut out = head(name, doc, "Row");
    for ((address, length), row) in prefixes.iter().filter(|((address, _), _)| family(address)) {
        let (constructor, first) = match address {
            IpAddr::V4(ip) => ("v4", format!("{:?}", ip.octets())),
            IpAddr::V6(ip) => ("v6", segments(*ip)),
        };
        let Registered {
            class,
            name,
            source,
        } = row;
        let _ = writeln!(
            out,
            "    Row::{constructor}({first}, {length}, Class::{class}, {name:?}, {source:?}),"
        );
    }
    out + "];\n"
}

fn table_of_names(name: &str, doc: &str, kind: &str, csv: &Csv) -> Result<String> {
    let mut names = BTreeMap::new();
    for row in csv.rows() {
        let constructor = match row.get("match")? {
            "exact" => "exact",
            "subtree" => "subtree",
            other => bail!("{}: `{other}` is none of exact, subtree", row.place()),
        };
        match row.get("kind")? {
            "metadata" | "special-use" => {}
            other => bail!(
                "{}: `{other}` is none of metadata, special-use",
                row.place()
            ),
        }
        if row.get("kind")? == kind {
            let before = names.insert(row.get("name")?, constructor);
            ensure!(before.is_none(), "{}: given twice", row.place());
        }
    }
    let mut out = head(name, doc, "Name");
    for (name, constructor) in names {
        let _ = writeln!(out, "    Name::{constructor}({name:?}),");
    }
    Ok(out + "];\n")
}

fn head(name: &str, doc: &str, item: &str) -> String {
    format!("\n/// {doc}.\n#[rustfmt::skip]\npub(crate) static {name}: &[{item}] = &[\n")
}

fn segments(ip: Ipv6Addr) -> String {
    let segments = ip.segments().map(|segment| format!("{segment:#x}"));
    format!("[{}]", segments.join(", "))
}

/// Comma-separated values: comment lines begin with `#`, then a line of column names; no quoting.
struct Csv {
    file: PathBuf,
    columns: Vec<String>,
    lines: Vec<(usize, Vec<String>)>,
}

struct CsvRow<'a> {
    csv: &'a Csv,
    number: usize,
    fields: &'a [String],
}

impl Csv {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
        ensure!(
            text.starts_with('#'),
            "{file:?} does not begin with its source and date"
        );
        let mut lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.starts_with('#'))
            .map(|(number, line)| {
                (
                    number,
                    line.split(',').map(str::to_owned).collect::<Vec<_>>(),
                )
            });
        let (_, columns) = lines.next().with_context(|| format!("{file:?} is empty"))?;
        Ok(Self {
            file: file.to_owned(),
            columns,
            lines: lines.collect(),
        })
    }

    fn rows(&self) -> impl Iterator<Item = CsvRow<'_>> {
        self.lines.iter().map(|(number, fields)| CsvRow {
            csv: self,
            number: *number,
            fields,
        })
    }
}

impl<'a> CsvRow<'a> {
    fn get(&self, column: &str) -> Result<&'a str> {
        let columns = &self.csv.columns;
        ensure!(
            self.fields.len() == columns.len(),
            "{}: not {} fields",
            self.place(),
            columns.len()
        );
        let at = columns.iter().position(|name| name == column);
        let field = at.and_then(|at| self.fields.get(at));
        field
            .map(String::as_str)
            .with_context(|| format!("{}: no column `{column}`", self.place()))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.csv.file.display(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_what_the_data_says() {
        run(true).unwrap();
    }

    #[test]
    fn a_prefix_has_a_length_that_fits_and_no_bits_after_it() {
        for good in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "1.2.3.4/32",
            "::/0",
            "2000::/3",
            "::1/128",
        ] {
            assert!(prefix(good).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "2000::/2",
            "10.0.0/8",
            "x/8",
        ] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_class_does_not_contradict_the_registry() {
        let rows = [
            ("private", Some("false"), true),
            ("public", Some("false"), false),
            ("special-global", Some("n/a"), false),
            ("special-global", Some("true"), true),
            ("translated", Some("true"), true),
            ("private", Some("true"), false),
            ("private", Some("maybe"), false),
            ("public", None, true),
        ];
        for (class, reachable, good) in rows {
            assert_eq!(
                check_reachability(class, reachable).is_ok(),
                good,
                "{class} {reachable:?}"
            );
        }
    }

    #[test]
    fn a_class_is_the_name_of_a_variant() {
        assert_eq!(variant("link-local").unwrap(), "LinkLocal");
        for bad in ["", "Link", "a--b", "1a"] {
            assert!(variant(bad).is_err(), "{bad}");
        }
    }
}
