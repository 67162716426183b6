//! The layers of the workspace: who may depend on whom.
//!
//! A crate depends on lower layers only, never on a sibling, so that each is useful alone and only
//! the facade composes them. Tests may use what stands beside the layers.

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, Metadata};

/// The layers from the bottom to the top. Crates of one layer do not know each other.
const LAYERS: &[&[&str]] = &[
    &["turbodiesel-core"],
    &[
        "turbodiesel-cache",
        "turbodiesel-redis",
        "turbodiesel-optimizer",
        "turbodiesel-instrumentation",
        "turbodiesel-sql",
    ],
    &["turbodiesel"],
    &["turbodiesel-http"],
];

/// Programs and tests: they use the layers, and the layers use them in tests at most.
const BESIDE: &[&str] =
    &["turbodiesel-testkit", "turbodiesel-demo", "turbodiesel-bench", "turbodiesel-tests", "xtask"];

/// Crates that only one crate of the workspace may know, so that they can be exchanged. The benchmarks
/// compare with them.
const OWNED: &[(&str, &str)] = &[("redis", "turbodiesel-redis"), ("axum", "turbodiesel-http")];

/// The crate that may know what others own.
const COMPARING: &str = "turbodiesel-bench";

/// Crates that must not be in the tree at all: bytes that several processes share outlive the
/// version that wrote them, and these formats have no place for a version.
const FORBIDDEN: &[&str] = &["bincode", "rkyv"];

/// A crate of the workspace and what its manifest names.
#[derive(Debug)]
struct Member {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// Whether only tests, examples and benchmarks see it.
    dev: bool,
}

pub(super) fn check(metadata: &Metadata) -> Result<()> {
    let members: Vec<Member> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| Member {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    dev: dependency.kind == DependencyKind::Development,
                })
                .collect(),
        })
        .collect();
    let tree: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();

    let violations = violations(&members, &tree);
    if violations.is_empty() {
        eprintln!("{} crates in {} layers", members.len(), LAYERS.len());
        return Ok(());
    }
    bail!("{}\nthe rules stand in docs/ARCHITECTURE.md and {}", violations.join("\n"), file!())
}

/// What is wrong with the workspace's crates, given the names of all crates in their tree.
fn violations(members: &[Member], tree: &[&str]) -> Vec<String> {
    let mut violations = Vec::new();
    for member in members {
        if layer(&member.name).is_none() && !is_beside(&member.name) {
            violations.push(format!(
                "{} has no layer; give it one in LAYERS or BESIDE of {}",
                member.name,
                file!()
            ));
        }
        let forbidden =
            member.dependencies.iter().filter_map(|dependency| objection(&member.name, dependency));
        violations.extend(forbidden);
    }
    let banned = FORBIDDEN.iter().filter(|name| tree.contains(name));
    violations.extend(banned.map(|name| {
        format!("{name} is in the tree; find who needs it with `cargo tree --invert {name}`")
    }));
    violations
}

/// Why a crate may not have a dependency, if it may not.
fn objection(name: &str, dependency: &Dependency) -> Option<String> {
    let other = &dependency.name;
    let owner = OWNED.iter().find(|(owned, owner)| owned == other && *owner != name);
    if let Some((_, owner)) = owner.filter(|_| name != COMPARING) {
        return Some(format!("{name} depends on {other}, which only {owner} may know"));
    }
    // What stands beside the layers may use everything.
    let own_layer = layer(name)?;
    if is_beside(other) {
        return (!dependency.dev)
            .then(|| format!("{name} depends on {other}, which only its tests may use"));
    }
    let other_layer = layer(other)?;
    let relation = match other_layer.cmp(&own_layer) {
        std::cmp::Ordering::Less => return None,
        std::cmp::Ordering::Equal => "of its own layer",
        std::cmp::Ordering::Greater => "of a higher layer",
    };
    Some(format!("{name} (layer {own_layer}) depends on {other} {relation}"))
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn is_beside(name: &str) -> bool {
    BESIDE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The violations of a workspace with one crate that has one dependency.
    fn check(name: &str, other: &str, dev: bool) -> Vec<String> {
        let dependencies = vec![Dependency { name: other.to_owned(), dev }];
        violations(&[Member { name: name.to_owned(), dependencies }], &[name, other])
    }

    #[test]
    fn downward_edges_and_foreign_crates_are_fine() {
        for (name, other) in [
            ("turbodiesel", "turbodiesel-cache"),
            ("turbodiesel-cache", "turbodiesel-core"),
            ("turbodiesel-http", "turbodiesel-core"),
            ("turbodiesel-redis", "redis"),
            ("turbodiesel-bench", "redis"),
            ("turbodiesel-demo", "turbodiesel"),
            ("turbodiesel-sql", "sqlparser"),
        ] {
            assert_eq!(check(name, other, false), [""; 0], "{name} -> {other}");
        }
    }

    #[test]
    fn planted_edges_are_found() {
        for (name, other, expected) in [
            ("turbodiesel-cache", "turbodiesel-sql", "of its own layer"),
            ("turbodiesel-core", "turbodiesel", "of a higher layer"),
            ("turbodiesel", "turbodiesel-http", "of a higher layer"),
            ("turbodiesel", "turbodiesel-testkit", "which only its tests may use"),
            ("turbodiesel", "redis", "only turbodiesel-redis may know"),
            ("turbodiesel-demo", "axum", "only turbodiesel-http may know"),
        ] {
            let violations = check(name, other, false);
            assert_eq!(violations.len(), 1, "{name} -> {other}: {violations:?}");
            assert!(violations[0].contains(expected), "{name} -> {other}: {violations:?}");
        }
    }

    #[test]
    fn tests_may_use_the_test_kit_but_no_sibling() {
        assert_eq!(check("turbodiesel-cache", "turbodiesel-testkit", true), [""; 0]);
        assert_eq!(check("turbodiesel-cache", "turbodiesel-sql", true).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_and_a_banned_crate_are_found() {
        let violations = check("turbodiesel-new", "bincode", true);
        assert_eq!(violations.len(), 2, "{violations:?}");
        assert!(violations[0].starts_with("turbodiesel-new has no layer"));
        assert!(violations[1].contains("cargo tree --invert bincode"));
    }
}
