//! What is known to be so and may stay, for a reason and perhaps for a time.

use chrono::{DateTime, NaiveDate};

use crate::{Class, Error, Finding, error::Kind, report::Shown};

/// An entry of an allow list.
///
/// ```
/// use turbodiesel_optimizer::{Allow, Class, Detector};
///
/// let detector = Detector::tests()
///     .allow(Allow::table("audit_log", "one row for each step, on purpose").class(Class::WriteLoop))
///     .allow(Allow::signature("5f0c1d2e3a4b5c6d", "known, see issue 42").until("2027-01-31")?);
/// # let _ = detector;
/// # Ok::<(), turbodiesel_optimizer::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Allow {
    what: What,
    class: Option<Class>,
    reason: String,
    until: Option<NaiveDate>,
}

#[derive(Clone, Debug)]
enum What {
    Signature(String),
    Table(String),
    Site(String),
    Statement(String),
}

impl Allow {
    /// Allows one finding.
    pub fn signature(signature: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(What::Signature(signature.into()), reason)
    }

    /// Allows findings all of whose statements name a table.
    pub fn table(table: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(What::Table(table.into()), reason)
    }

    /// Allows findings all of whose statements are asked in a file, or on a line of it: `src/jobs.rs`,
    /// `src/jobs.rs:42`.
    pub fn site(site: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(What::Site(site.into()), reason)
    }

    /// Allows findings all of whose statements contain a text, as reports show them.
    pub fn statement(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(What::Statement(part.into()), reason)
    }

    fn new(what: What, reason: impl Into<String>) -> Self {
        Self { what, class: None, reason: reason.into(), until: None }
    }

    /// Allows findings of this class only.
    pub fn class(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }

    /// Allows it up to and including a day in UTC, written as in `2027-01-31`. Afterwards what was
    /// allowed is found again, with the reason why it once was allowed.
    ///
    /// # Errors
    ///
    /// If that is no date.
    pub fn until(mut self, date: &str) -> Result<Self, Error> {
        let until = date.parse().map_err(|source| Kind::Date { date: date.to_owned(), source })?;
        self.until = Some(until);
        Ok(self)
    }

    fn matches(&self, finding: &Finding) -> bool {
        let is_such = |shown: &Shown| match &self.what {
            What::Signature(signature) => finding.signature == *signature,
            What::Table(table) => shown.tables.contains(table),
            What::Site(place) => shown.site.as_ref().is_some_and(|site| {
                is_at(&site.file, place) || is_at(&format!("{}:{}", site.file, site.line), place)
            }),
            What::Statement(part) => shown.sql.contains(part),
        };
        self.class.is_none_or(|class| class == finding.class)
            && finding.statements.iter().all(is_such)
    }
}

/// Whether a path ends with the names of another.
fn is_at(path: &str, place: &str) -> bool {
    path.strip_suffix(place).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// Takes out what is allowed today, and tells of the rest whether it once was.
pub(crate) fn sift(findings: Vec<Finding>, allowed: &[Allow], today: NaiveDate) -> Vec<Finding> {
    let mut kept = Vec::new();
    for mut finding in findings {
        let matching = || allowed.iter().filter(|it| it.matches(&finding));
        if matching().any(|it| it.until.is_none_or(|until| today <= until)) {
            continue;
        }
        let expired = matching().find_map(|it| {
            let until = it.until?;
            Some(format!("allowed until {until}: {}", it.reason))
        });
        finding.expired = expired;
        kept.push(finding);
    }
    kept
}

/// The present day in UTC.
pub(crate) fn today() -> NaiveDate {
    #[expect(clippy::disallowed_methods, reason = "an expiry is a day of the calendar")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().date_naive()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Site, report::Draft};

    fn finding() -> Finding {
        let site = Some(Site { file: "shop/src/jobs.rs".to_owned(), line: 42, column: None });
        let sql = "SELECT id FROM posts WHERE user_id = $1".to_owned();
        Finding::new(Draft {
            class: Class::NPlusOne,
            statements: vec![Shown { sql, tables: vec!["posts".to_owned()], site }],
            parent: None,
            key: None,
            executions: 3,
            distinct: 3,
            hits: 0,
            rows: 3,
            time: Duration::ZERO,
            saving: Duration::ZERO,
            fix: String::new(),
        })
    }

    fn stays(allow: Allow) -> bool {
        !sift(vec![finding()], &[allow], today()).is_empty()
    }

    #[test]
    fn what_is_named_is_allowed() {
        for allow in [
            Allow::signature(finding().signature, ""),
            Allow::table("posts", ""),
            Allow::site("src/jobs.rs", ""),
            Allow::site("jobs.rs:42", ""),
            Allow::statement("FROM posts WHERE", "").class(Class::NPlusOne),
        ] {
            assert!(!stays(allow.clone()), "{allow:?}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        for allow in [
            Allow::signature("0", ""),
            Allow::table("post", ""),
            Allow::site("obs.rs", ""),
            Allow::site("src/jobs.rs:4", ""),
            Allow::table("posts", "").class(Class::Duplicate),
        ] {
            assert!(stays(allow.clone()), "{allow:?}");
        }
    }

    #[test]
    fn an_allowance_ends_after_its_last_day() {
        let allow = Allow::table("posts", "it is being rewritten").until("2027-01-31").unwrap();
        let on =
            |day: &str| sift(vec![finding()], std::slice::from_ref(&allow), day.parse().unwrap());
        assert!(on("2027-01-31").is_empty());
        let expired = on("2027-02-01")[0].expired.clone().unwrap();
        assert_eq!(expired, "allowed until 2027-01-31: it is being rewritten");
        assert!(Allow::table("posts", "").until("tomorrow").unwrap_err().is_date());
    }
}
