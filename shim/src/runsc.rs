//! Calling `runsc`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use containerd_shim::{Error, Result};

use crate::options::Options;
use crate::tasks;

/// `runsc` for the containers of one namespace of containerd.
#[derive(Clone)]
pub struct Runsc {
    options: Options,
    namespace: String,
    /// Where it leaves its errors.
    log: PathBuf,
}

impl Runsc {
    pub fn new(options: Options, namespace: &str, bundle: &Path) -> Self {
        Self {
            options,
            namespace: namespace.to_owned(),
            log: bundle.join("log.json"),
        }
    }

    /// A call with these arguments and no standard streams.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.options.binary);
        command
            .args(&self.options.flags)
            .arg("--root")
            .arg(self.options.root.join(&self.namespace))
            .arg("--log")
            .arg(&self.log)
            .args(["--log-format", "json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs a command to its end; gives what it printed.
    pub fn finish(&self, command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
        // Before, so that the message found afterwards is of this call.
        let _ = std::fs::remove_file(&self.log);
        let _guard = tasks::starting();
        let failed = |e: std::io::Error| Error::Other(format!("{}: {e}", self.options.binary.display()));
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = self.message();
        Err(Error::Other(match message {
            Some(message) => message,
            None => format!("{} failed: {}", self.options.binary.display(), output.status),
        }))
    }

    pub fn run(&self, args: &[&str]) -> Result<()> {
        self.finish(&mut self.command(args), &[]).map(drop)
    }

    /// What it prints.
    pub fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        self.finish(self.command(args).stdout(Stdio::piped()), &[])
    }

    /// A call that lasts, whose output is read meanwhile.
    pub fn stream(&self, args: &[&str]) -> std::io::Result<Child> {
        let _guard = tasks::starting();
        let child = self.command(args).stdout(Stdio::piped()).spawn()?;
        tasks::track(child.id().cast_signed());
        Ok(child)
    }

    /// The last error that it logged.
    fn message(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.log).ok()?;
        let lines = text.lines().rev();
        let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut errors = lines.filter(|line| line["level"] == "error");
        errors.find_map(|line| line["msg"].as_str().map(str::to_owned))
    }
}
