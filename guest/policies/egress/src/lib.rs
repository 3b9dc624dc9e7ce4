//! Placeholder.
use pinfold_policy::*;
/// E
#[derive(Debug)]
pub struct Egress;
impl Policy for Egress {
    type Settings = NoSettings;
    fn describe() -> Description {
        Description {
            name: "egress".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "x".into(),
            settings_schema: NoSettings::SCHEMA.into(),
        }
    }
    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
    fn check_target(&self, _: &Request) -> Decision {
        Decision::Allow(Terms::default())
    }
    fn check_addresses(&self, _: &Request, r: &Resolution) -> Vec<Verdict> {
        r.answers.iter().map(|_| Verdict::Allow).collect()
    }
}
export!(Egress);
