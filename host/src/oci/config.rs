//! An image's configuration (OCI Image 1.1, config), as far as running it needs it.

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{ImageError, shown};

/// What an image says about the process that it is made for. Labels, volumes, ports and history are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The program and its first arguments, in front of `cmd`; empty if the image has none.
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program where there is no entry point; what a person gives takes its place.
    pub cmd: Vec<String>,
    /// Environment variables, each as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The working directory; empty for the root.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or the like, to be looked up in the image's `/etc/passwd`; empty for `root`.
    pub user: String,
}

/// The whole document, as far as it is of use.
#[derive(Debug)]
pub(super) struct ConfigDocument {
    pub(super) platform: String,
    pub(super) is_ours: bool,
    pub(super) run: ImageConfig,
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<WireRun>,
    rootfs: Option<WireRootFs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
struct WireRootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl ConfigDocument {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let refuse = |reason: String| ImageError::Document {
            name: "configuration".to_owned(),
            reason,
        };
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        let rootfs = wire.rootfs;
        let rootfs = rootfs.ok_or_else(|| refuse("it is not of a container image".to_owned()))?;
        let diff_ids: Result<Vec<Digest>, _> =
            rootfs.diff_ids.iter().map(|id| Digest::parse(id)).collect();
        let run = wire
            .config
            .map_or_else(ImageConfig::default, |run| ImageConfig {
                entrypoint: run.entrypoint.unwrap_or_default(),
                cmd: run.cmd.unwrap_or_default(),
                env: run.env.unwrap_or_default(),
                working_dir: run.working_dir.unwrap_or_default(),
                user: run.user.unwrap_or_default(),
            });
        let lists = [&run.entrypoint, &run.cmd, &run.env];
        let mut strings = lists
            .into_iter()
            .flatten()
            .chain([&run.working_dir, &run.user]);
        let wrong = strings.find(|string| string.contains('\0')).cloned();
        drop(strings);
        if let Some(wrong) = wrong {
            let shown = shown(wrong.as_bytes());
            return Err(refuse(format!("{shown} has a NUL in it")));
        }
        Ok(Self {
            platform: platform_name(&wire.os, &wire.architecture),
            is_ours: wire.os == OS && wire.architecture == ARCHITECTURE,
            run,
            diff_ids: diff_ids?,
        })
    }
}

/// What Reprise runs, in the words of Go's `GOOS` and `GOARCH`.
pub(super) const OS: &str = "linux";
/// See [`OS`].
pub(super) const ARCHITECTURE: &str = "riscv64";

/// As `linux/amd64`; names from outside are cut and escaped.
pub(super) fn platform_name(os: &str, architecture: &str) -> String {
    let clean = |name: &str| match name {
        "" => "an unnamed platform".to_owned(),
        name => name.chars().take(32).flat_map(char::escape_debug).collect(),
    };
    match (os, architecture) {
        ("", "") => clean(""),
        _ => format!("{}/{}", clean(os), clean(architecture)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_running_needs_is_read() {
        let document = br#"{
            "architecture": "riscv64", "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {"User": "app:app", "Env": ["PATH=/bin", "A=b=c"], "Entrypoint": ["/init", "-v"], "Cmd": null,
                       "WorkingDir": "/srv", "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}},
            "rootfs": {"type": "layers", "diff_ids":
                ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
            "history": [{"created_by": "x", "empty_layer": true}]}"#;
        let config = ConfigDocument::parse(document).unwrap();
        assert!(config.is_ours);
        assert_eq!(config.run.entrypoint, ["/init", "-v"]);
        assert_eq!(config.run.env, ["PATH=/bin", "A=b=c"]);
        assert!(config.run.cmd.is_empty());
        assert_eq!(
            (config.run.user.as_str(), config.run.working_dir.as_str()),
            ("app:app", "/srv")
        );
        assert_eq!(config.diff_ids, [Digest::of(b"")]);
    }

    #[test]
    fn other_platforms_and_damage_are_told() {
        let other =
            ConfigDocument::parse(br#"{"architecture":"amd64","os":"linux","rootfs":{}}"#).unwrap();
        assert!(!other.is_ours);
        assert_eq!(other.platform, "linux/amd64");
        assert_eq!(platform_name("", ""), "an unnamed platform");
        for wrong in [
            &b"{}"[..],
            b"",
            b"[]",
            br#"{"rootfs":{"diff_ids":["md5:00"]}}"#,
            br#"{"rootfs":{},"config":{"Env":["A=\u0000"]}}"#,
            br#"{"rootfs":{},"config":{"Cmd":"sh"}}"#,
        ] {
            assert!(
                ConfigDocument::parse(wrong).is_err(),
                "{}",
                String::from_utf8_lossy(wrong)
            );
        }
    }
}
