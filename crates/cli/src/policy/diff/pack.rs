//! `--pack`: a shipped pack as questions, derived from a URL that the old policy allows.

use pinfold::policy::LoadError;

use super::pair::Loader;
use crate::{
    explain,
    fault::Fault,
    policy::pack::{BASE_HINT, Base, Name, is_of_a_name},
    vectors::{Alone, Case, Suite},
};

/// The cases of a pack.
///
/// # Errors
///
/// A base that is no URL of a name, or that the old policy refuses: the cases would prove little.
pub(super) fn suite(
    pack: Name,
    stated: Option<&str>,
    suites: &[Suite],
    loader: &Loader<'_>,
) -> anyhow::Result<Suite> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let base = Base::of(stated, first_allowed(suites, loader).await?)?;
        allows(&base, loader).await?;
        base.suite_of(pack)
    })
}

/// The first vector that the old policy allows, for a name. What a vector expects does not matter.
async fn first_allowed<'a>(
    suites: &'a [Suite],
    loader: &Loader<'_>,
) -> anyhow::Result<Option<(&'a Suite, &'a Case)>> {
    for suite in suites.iter().filter(|suite| !suite.is_refused()) {
        let Some(old) = alone(loader, Some(suite))? else {
            continue;
        };
        for case in suite.cases().iter().filter(|case| is_of_a_name(case)) {
            if old.judge(case).await.denial.is_none() {
                return Ok(Some((suite, case)));
            }
        }
    }
    Ok(None)
}

async fn allows(base: &Base<'_>, loader: &Loader<'_>) -> anyhow::Result<()> {
    let Some(old) = alone(loader, base.suite())? else {
        return Ok(());
    };
    let Some(denial) = old.judge(&base.itself()?).await.denial else {
        return Ok(());
    };
    let (url, why) = (base.url.escape_debug(), explain::rule(&denial));
    let message = format!("`{url}` cannot be a base: the old policy refuses it {why}");
    Err(Fault::new(message, BASE_HINT).into())
}

/// The old policy alone; none when it refuses the settings, which is told when it is compared.
fn alone(loader: &Loader<'_>, suite: Option<&Suite>) -> anyhow::Result<Option<Alone>> {
    match Alone::load(&loader.old_setup(suite)) {
        Ok(alone) => Ok(Some(alone)),
        Err(LoadError::Settings(_)) => Ok(None),
        Err(error) => Err(loader.old.name(error)),
    }
}
