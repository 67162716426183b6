//! What the caller can do wrong. What Redis does wrong is no error: memory serves instead.

/// Why a cache could not be built, or a value could not be kept.
///
/// That Redis is away, slow or full is never an error of an operation: see the crate's guarantees.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

impl Error {
    /// Whether a setting is wrong. The message names it.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self.0, Kind::Configuration(_) | Kind::Url(..))
    }

    /// Whether a key or a value is larger than it may be. Nothing was changed.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0, Kind::KeyTooLarge { .. } | Kind::ValueTooLarge { .. })
    }

    /// Whether a value could not be written as JSON, or what was found is none of its type.
    #[must_use]
    pub fn is_encoding(&self) -> bool {
        matches!(self.0, Kind::Encoding(_))
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self(Kind::Configuration(message.into()))
    }

    pub(crate) fn url(message: impl Into<String>, source: redis::RedisError) -> Self {
        Self(Kind::Url(message.into(), source))
    }

    #[cfg(feature = "json")]
    pub(crate) fn encoding(source: serde_json::Error) -> Self {
        Self(Kind::Encoding(Box::new(source)))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{0}")]
    Configuration(String),
    #[error("{0}")]
    Url(String, #[source] redis::RedisError),
    #[error("a key of {length} bytes is longer than {most}: shorten it, or store under its hash")]
    KeyTooLarge { length: usize, most: usize },
    #[error("a value of {length} bytes is larger than `max_value_bytes` of {most}")]
    ValueTooLarge { length: usize, most: usize },
    #[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only JSON is encoded"))]
    #[error("the value is no JSON of its type")]
    Encoding(#[source] Box<dyn std::error::Error + Send + Sync>),
}
