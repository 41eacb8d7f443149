//! The machine and the day, without which a figure means nothing.

use anyhow::{Context, Result};
use std::fs;

/// Lines of the report, `what: which`.
///
/// # Errors
/// When the machine can't be asked.
pub(crate) fn describe() -> Result<Vec<(&'static str, String)>> {
    let cores = std::thread::available_parallelism().context("failed to count the cores")?;
    let info = read("/proc/cpuinfo")?;
    let model = field(&info, "model name").unwrap_or("unknown");
    let memory = read("/proc/meminfo")?;
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    Ok(vec![
        ("date", crate::host::run("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?.trim().to_owned()),
        ("commit", commit()),
        ("processor", format!("{cores} cores of {model}")),
        (
            "governor",
            governor.map_or_else(|_| "none (virtual machine)".to_owned(), |text| text.trim().to_owned()),
        ),
        ("memory", field(&memory, "MemTotal").unwrap_or("unknown").to_owned()),
        ("kernel", read("/proc/sys/kernel/osrelease")?.trim().to_owned()),
        ("load before", read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" ")),
    ])
}

/// What was measured; a checkout with changes says so.
fn commit() -> String {
    let folder = crate::paths::checkout();
    let folder = folder.to_string_lossy();
    crate::host::run("git", &["-C", &folder, "describe", "--always", "--dirty"])
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {path}"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 143\nmodel name\t: Fast CPU\nMemTotal:   24 kB\n";
        assert_eq!(field(text, "model name"), Some("Fast CPU"));
        assert_eq!(field(text, "MemTotal"), Some("24 kB"));
        assert_eq!(field(text, "Mem"), None);
    }
}
