//! Habits that no other tool checks.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The kinds of files that people write here.
const TEXT: &[&str] = &["rs", "md", "toml", "sh", "sql", "yml", "yaml"];

/// Where people keep their files: a path below one of these works on one machine only. Split, so
/// that this file may be checked as well.
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

pub(super) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut local: Vec<String> = HOMES.iter().map(|home| (*home).to_owned()).collect();
    local.extend(env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| home + "/"));
    local.push(format!("{}/", root.display()));

    let mut problems = Vec::new();
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file);
        let found = self::problems(name, &text, &local);
        problems.extend(found.into_iter().map(|problem| format!("{}:{problem}", name.display())));
    }
    if problems.is_empty() {
        eprintln!("{} files", files.len());
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// All files that people write, below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" {
                collect(&path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| TEXT.iter().any(|text| extension == *text))
            || path.ends_with(".ci/run")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// The problems of one file, each beginning with its line.
fn problems(name: &Path, text: &str, local: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let is_rust = name.extension().is_some_and(|extension| extension == "rs");
    // What is included into another file cannot have inner documentation.
    if is_rust && !text.starts_with("//!") && !text.starts_with("// Included ") {
        problems.push("1: begin the file with `//!` and say what it is for".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim_start();
        if is_rust && code.starts_with("#[ignore") {
            problems.push(format!(
                "{number}: an ignored test tests nothing; assert today's behaviour with a FIXME"
            ));
        }
        let fence = code.trim_start_matches("//!").trim_start_matches("///").trim_start();
        if fence.starts_with("```") && fence.contains("ignore") {
            problems.push(format!(
                "{number}: an ignored example rots; use `no_run` if it needs a server"
            ));
        }
        if let Some(path) = local.iter().find(|path| line.contains(path.as_str())) {
            problems.push(format!("{number}: {path} exists on one machine only"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str) -> Vec<String> {
        problems(Path::new(name), text, &["/srv/me/".to_owned()])
    }

    #[test]
    fn tidy_files_have_no_problems() {
        assert_eq!(check("a.rs", "//! A file.\n\n/// ```no_run\n/// f();\n/// ```\n"), [""; 0]);
        assert_eq!(check("a.md", "# A page\n"), [""; 0]);
    }

    #[test]
    fn planted_problems_are_found() {
        for (name, text, expected) in [
            ("a.rs", "use std::fmt;\n", "1: begin"),
            ("a.rs", "//! A file.\n    #[ignore = \"slow\"]\n", "2: an ignored test"),
            ("a.rs", "//! A file.\n/// ```rust,ignore\n", "2: an ignored example"),
            ("a.md", "# A page\n```ignore\n", "2: an ignored example"),
            ("a.toml", "path = \"/srv/me/data\"\n", "1: /srv/me/"),
        ] {
            let found = check(name, text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert!(found[0].starts_with(expected), "{text:?}: {found:?}");
        }
    }
}
