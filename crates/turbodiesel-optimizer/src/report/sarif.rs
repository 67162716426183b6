//! Findings in SARIF 2.1.0, the format in which code hosts take the results of analyses.

use serde_json::{Value, json};

use super::{Class, Finding, Findings, Severity, Shown};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn log(findings: &Findings) -> Value {
    let rules: Vec<Value> = Class::ALL.iter().copied().map(rule).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "turbodiesel",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn rule(class: Class) -> Value {
    json!({
        "id": class.as_str(),
        "shortDescription": { "text": class.description() },
    })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let index = Class::ALL.iter().position(|class| *class == finding.class);
    let locations: Vec<Value> = finding.statements.iter().map(location).collect();
    let parent = finding.parent.as_ref();
    let related: Vec<Value> = parent.iter().map(|parent| location(&parent.statement)).collect();
    json!({
        "ruleId": finding.class.as_str(),
        "ruleIndex": index,
        "level": level,
        "message": { "text": finding.to_string() },
        "locations": locations,
        "relatedLocations": related,
        "partialFingerprints": { "turbodieselSignature/v1": finding.signature },
        "occurrenceCount": finding.executions,
    })
}

/// Where a statement is: in a file if that is known, and always in itself.
fn location(statement: &Shown) -> Value {
    let logical = json!([{ "fullyQualifiedName": statement.sql, "kind": "statement" }]);
    match &statement.site {
        Some(site) => {
            let mut region = json!({ "startLine": site.line });
            if let Some(column) = site.column {
                region["startColumn"] = column.into();
            }
            json!({
                "physicalLocation": {
                    "artifactLocation": { "uri": uri(&site.file) },
                    "region": region,
                },
                "logicalLocations": logical,
            })
        }
        None => json!({ "logicalLocations": logical }),
    }
}

/// A path as a relative or absolute URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'\\' => uri.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if uri.starts_with('/') { format!("file://{uri}") } else { uri }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("src/a b.rs"), "src/a%20b.rs");
        assert_eq!(uri("/srv/é.rs"), "file:///srv/%C3%A9.rs");
    }
}
