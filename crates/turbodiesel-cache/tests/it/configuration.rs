//! Configurations that make no sense are refused, and the message names the option to change.

use std::{sync::Arc, time::Duration};

use turbodiesel_cache::{Cache, CacheBuilder, Stamps, StampsOptions, TierOptions};
use turbodiesel_core::Tier;

use crate::{
    protocol::Coarse,
    support::{Answer, quiet},
};

fn builder() -> CacheBuilder<Answer, &'static str> {
    Cache::builder()
}

#[track_caller]
fn refused(builder: CacheBuilder<Answer, &'static str>, parts: &[&str]) -> bool {
    let error = builder.build().expect_err("a configuration that makes no sense");
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(
        !message.ends_with('.') && !message.starts_with(char::is_uppercase)
            || message.starts_with('L')
    );
    error.is_too_small()
}

fn with(options: impl FnOnce(&mut TierOptions)) -> CacheBuilder<Answer, &'static str> {
    let mut l2 = quiet(Tier::L2);
    options(&mut l2);
    builder().tier(Tier::L2, l2)
}

#[test]
fn the_defaults_are_fine() {
    assert!(builder().build().is_ok());
}

#[test]
fn times_out_of_range() {
    refused(with(|l2| l2.ttl = Duration::ZERO), &["TTL of L2", "0ns", "raise it"]);
    refused(
        with(|l2| l2.stale_after = Some(l2.ttl)),
        &["L2", "stale after 60s", "TTL of 60s", "lower `stale_after`"],
    );
    assert!(with(|l2| l2.ttl = Duration::MAX).build().is_ok());
}

#[test]
fn a_ttl_within_the_resolution_of_the_clock() {
    let stamps = Stamps::new(Arc::new(Coarse::default()), StampsOptions::default());
    let ttl = |ttl| with(|l2| l2.ttl = ttl).stamps(Arc::clone(&stamps)).jitter(0.5);
    refused(ttl(Duration::from_secs(2)), &["TTL of L2", "2s", "resolution of 1s"]);
    assert!(ttl(Duration::from_millis(2_001)).build().is_ok());
}

#[test]
fn numbers_out_of_range() {
    for beta in [-1.0, f64::NAN, f64::INFINITY] {
        refused(with(|l2| l2.refresh_beta = beta), &["`refresh_beta` of L2", "zero or more"]);
    }
    for jitter in [-0.1, 0.51, f64::NAN] {
        assert!(!refused(builder().jitter(jitter), &["jitter", "between 0 and 0.5"]));
    }
}

#[test]
fn budgets_that_cannot_hold_the_largest_entry() {
    assert!(refused(
        with(|l2| l2.capacity_bytes = 1 << 20),
        &["L2", "1048576 bytes", "raise `capacity_bytes` or lower `max_entry_bytes`"],
    ));
    assert!(refused(with(|l2| l2.capacity_bytes = 0), &["L2", "0 bytes"]));
    assert!(refused(builder().max_entry_bytes(10), &["`max_entry_bytes` is 10", "raise it"]));
    assert!(refused(builder().max_entry_bytes(usize::MAX), &["L1", "lower `max_entry_bytes`"]));
}

#[test]
fn statistics_can_be_serialised() {
    let cache: Cache<Answer, ()> = Cache::builder().build().unwrap();
    let stats = serde_json::to_value(cache.stats()).unwrap();
    assert_eq!(stats["tiers"][0]["refused_fills"]["marked"], 0);
    assert_eq!(stats["tiers"][2]["capacity_bytes"], 32 << 20);
    assert_eq!(stats["flights"], 0);
}
