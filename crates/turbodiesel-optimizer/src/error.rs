//! What can be wrong with a configuration.

/// The error of configuring a [`Detector`](crate::Detector). Its message says what is wanted instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

impl Error {
    /// Whether a date is not one.
    #[must_use]
    pub fn is_date(&self) -> bool {
        matches!(self.0, Kind::Date { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Kind {
    #[error("`{date}` is not a date: write it as in 2027-01-31")]
    Date { date: String, source: chrono::ParseError },
}
