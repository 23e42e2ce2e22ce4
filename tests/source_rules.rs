//! The rules of the source tree that no compiler checks. Each failure names the file and the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which workspace crates a crate may use (DESIGN section 4). A new arrow is a decision, not an edit.
const ARROWS: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("platform", &["abi"]),
    ("gofer", &["abi"]),
    ("sentry", &["abi", "platform", "gofer"]),
    ("runsc", &["abi", "platform", "gofer", "sentry"]),
    ("shim", &[]),
    ("tests", &[]),
    ("bench", &[]),
];

/// What the Sentry may use from outside: its closure stays small enough to audit (D9).
const SENTRY_MAY_USE: &[&str] = &[
    "async-task",
    "bitflags",
    "crossbeam-queue",
    "crossbeam-utils",
    "dashmap",
    "libc",
    "parking_lot",
    "rustix",
    "seccompiler",
    "serde",
    "serde_json",
    "slab",
    "smallvec",
    "smoltcp",
    "thiserror",
    "zerocopy",
];
const SENTRY_CLOSURE: usize = 130;

/// Crates whose lints are the workspace's; the others are raw system calls by nature and have their own.
const OWN_LINTS: &[&str] = &["tests", "bench"];
const UNSAFE_ALLOWED: &[&str] = &["platform", "abi", "tests", "bench"];
const FORBID_UNSAFE: &[&str] = &["sentry", "gofer", "runsc", "shim"];
const MAX_LINES: usize = 1000;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn metadata(args: &[&str]) -> serde_json::Value {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(args)
        .current_dir(top())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn crates() -> Vec<String> {
    ARROWS.iter().map(|(name, _)| (*name).to_string()).collect()
}

/// Every Rust file of a crate.
fn sources(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![top().join(name)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(top()).unwrap().display().to_string()
}

/// The file without comments and without the contents of string literals, line by line.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut out = String::new();
    let mut in_comment = false;
    for line in text.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            if in_comment {
                match rest.find("*/") {
                    Some(at) => {
                        in_comment = false;
                        rest = &rest[at + 2..];
                    }
                    None => break,
                }
            } else if rest.starts_with("//") {
                break;
            } else if rest.starts_with("/*") {
                in_comment = true;
                rest = &rest[2..];
            } else if let Some(after) = rest.strip_prefix('"') {
                let mut end = after.len();
                let mut escaped = false;
                for (at, byte) in after.bytes().enumerate() {
                    if byte == b'"' && !escaped {
                        end = at + 1;
                        break;
                    }
                    escaped = byte == b'\\' && !escaped;
                }
                out.push('"');
                rest = &after[end..];
            } else {
                let first = rest.chars().next().unwrap();
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out.push('\n');
    }
    out
}

fn count_word(text: &str, word: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|part| *part == word)
        .count()
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn crate_arrows_point_down() {
    let all = metadata(&["--no-deps"]);
    let members: BTreeSet<String> = crates().into_iter().collect();
    let mut problems = Vec::new();
    for package in all["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| *n == name) else {
            problems.push(format!("{name}: a new crate has no row in ARROWS"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            if members.contains(to) && !allowed.contains(&to) {
                problems.push(format!("{name} -> {to}: this arrow is not in DESIGN section 4"));
            }
        }
    }
    report(&problems);
}

#[test]
fn sentry_uses_only_what_was_argued() {
    let all = metadata(&["--no-deps"]);
    let members: BTreeSet<String> = crates().into_iter().collect();
    let sentry = all["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "sentry")
        .unwrap();
    let problems: Vec<String> = sentry["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["kind"].is_null())
        .map(|d| d["name"].as_str().unwrap().to_string())
        .filter(|name| !members.contains(name) && !SENTRY_MAY_USE.contains(&name.as_str()))
        .map(|name| format!("sentry -> {name}: not in SENTRY_MAY_USE"))
        .collect();
    report(&problems);
}

#[test]
fn sentry_closure_stays_small() {
    let all = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let nodes: BTreeMap<String, Vec<String>> = all["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let normal =
                |d: &&serde_json::Value| d["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
            let deps = node["deps"].as_array().unwrap().iter().filter(normal);
            (
                node["id"].as_str().unwrap().to_string(),
                deps.map(|d| d["pkg"].as_str().unwrap().to_string()).collect(),
            )
        })
        .collect();
    let start = nodes
        .keys()
        .find(|id| id.contains("/sentry#") || id.contains("#sentry@"))
        .unwrap()
        .clone();
    let mut seen = BTreeSet::new();
    let mut todo = vec![start];
    while let Some(id) = todo.pop() {
        if seen.insert(id.clone()) {
            todo.extend(nodes[&id].iter().cloned());
        }
    }
    assert!(
        seen.len() <= SENTRY_CLOSURE,
        "the Sentry's closure has {} crates",
        seen.len()
    );
}

#[test]
fn files_stay_short() {
    let mut problems = Vec::new();
    for name in crates() {
        for path in sources(&name) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > MAX_LINES {
                problems.push(format!("{}: {lines} lines, more than {MAX_LINES}", shown(&path)));
            }
        }
    }
    report(&problems);
}

#[test]
fn unsafe_has_an_address() {
    let mut problems = Vec::new();
    for name in crates().into_iter().filter(|n| !UNSAFE_ALLOWED.contains(&n.as_str())) {
        for path in sources(&name) {
            if count_word(&code(&path), "unsafe") > 0 {
                problems.push(format!("{}: unsafe outside platform/ and abi/", shown(&path)));
            }
        }
    }
    for name in FORBID_UNSAFE {
        let root = ["src/lib.rs", "src/main.rs"]
            .map(|f| top().join(name).join(f))
            .into_iter()
            .find(|p| p.exists());
        let root = root.unwrap();
        if !fs::read_to_string(&root).unwrap().contains("#![forbid(unsafe_code)]") {
            problems.push(format!("{}: lacks #![forbid(unsafe_code)]", shown(&root)));
        }
    }
    report(&problems);
}

/// The number of `unsafe` in each crate where it is allowed; it may fall, and then the file must say so.
#[test]
fn unsafe_does_not_grow_unrecorded() {
    let file = top().join("tests/unsafe-ratchet.txt");
    let now_in = |name: &str| {
        sources(name)
            .iter()
            .map(|path| count_word(&code(path), "unsafe"))
            .sum::<usize>()
    };
    if std::env::var_os("UPDATE_RATCHET").is_some() {
        let rows = ["abi", "platform"]
            .map(|name| format!("{name} {}\n", now_in(name)))
            .concat();
        let head =
            "# crate, number of the word `unsafe` in its code; UPDATE_RATCHET=1 cargo test -p tests rewrites this\n";
        fs::write(&file, format!("{head}{rows}")).unwrap();
    }
    let text = fs::read_to_string(&file).unwrap();
    let mut problems = Vec::new();
    for name in ["abi", "platform"] {
        let now = now_in(name);
        let line = text.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap();
        let recorded: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        if now != recorded {
            problems.push(format!(
                "{name}: {now} unsafe, tests/unsafe-ratchet.txt says {recorded}: argue or lower it"
            ));
        }
    }
    report(&problems);
}

#[test]
fn every_crate_inherits_the_lints() {
    let mut problems = Vec::new();
    for name in crates().into_iter().filter(|n| !OWN_LINTS.contains(&n.as_str())) {
        let text = fs::read_to_string(top().join(&name).join("Cargo.toml")).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{name}/Cargo.toml: does not inherit the workspace's lints"));
        }
    }
    report(&problems);
}

#[test]
fn nothing_is_left_to_do_at_run_time() {
    let mut problems = Vec::new();
    for name in crates().into_iter().filter(|n| !OWN_LINTS.contains(&n.as_str())) {
        for path in sources(&name) {
            let code = code(&path);
            for bad in ["todo!", "unimplemented!", "dbg!"] {
                if code.contains(bad) {
                    problems.push(format!("{}: {bad}", shown(&path)));
                }
            }
            // A module that several test programs share is used in part by each.
            let shared = shown(&path).to_string().contains("/tests/common/");
            if !shared && (code.contains("#![allow(unused") || code.contains("#![allow(dead_code")) {
                problems.push(format!("{}: what is unused is taken out, not allowed", shown(&path)));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_family_of_syscall_tests_is_built() {
    let manifest = fs::read_to_string(top().join("tests/Cargo.toml")).unwrap();
    let mut problems = Vec::new();
    for entry in fs::read_dir(top().join("tests/syscalls")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !manifest.contains(&format!("path = \"syscalls/{name}\"")) {
            problems.push(format!("tests/syscalls/{name}: no [[bin]] in tests/Cargo.toml"));
        }
    }
    report(&problems);
}

#[test]
fn every_crate_has_a_readme() {
    let missing: Vec<String> = crates()
        .into_iter()
        .filter(|n| !top().join(n).join("README.md").exists())
        .map(|n| format!("{n}/README.md"))
        .collect();
    report(&missing);
}
