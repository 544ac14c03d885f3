//! The processor `resource_detection`: what is known of the place where this process runs, added
//! to every resource.
//!
//! Detectors: `env` (`OTEL_RESOURCE_ATTRIBUTES`), `system` (host and operating system), `docker`
//! (the same, of the host that runs the container), `k8s` (what the pod's downward API puts into
//! environment variables). Detectors of clouds ask servers of theirs and are not here.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Owner, SpanBatch, Value};

use super::Edit;
use crate::consumer::Refusal;
use crate::data::Client;

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    /// `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry specification, "Resource SDK").
    Env,
    /// The host: `host.name` and `os.type`; when switched on, `host.id`, `host.arch` and
    /// `os.description`.
    System,
    /// The container: `container.id`, and the host as far as a container sees it.
    Docker,
    /// Kubernetes: `K8S_NODE_NAME`, `K8S_POD_NAME`, `K8S_POD_UID`, `K8S_NAMESPACE` and the like.
    K8s,
}

/// What detectors look at.
pub trait Place {
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn file(&self, path: &str) -> Option<String>;
    /// The name of the host.
    fn host_name(&self) -> Option<String>;
}

/// The process's own surroundings.
pub struct Here;

impl Place for Here {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(Path::new(path)).ok()
    }

    fn host_name(&self) -> Option<String> {
        rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
    }
}

/// Variables of the downward API under the names that manifests use, and their attributes
/// (OpenTelemetry semantic conventions, "Kubernetes").
const K8S: [(&str, &str); 16] = [
    ("K8S_CLUSTER_NAME", "k8s.cluster.name"),
    ("K8S_NODE_NAME", "k8s.node.name"),
    ("NODE_NAME", "k8s.node.name"),
    ("K8S_NAMESPACE", "k8s.namespace.name"),
    ("K8S_NAMESPACE_NAME", "k8s.namespace.name"),
    ("POD_NAMESPACE", "k8s.namespace.name"),
    ("K8S_POD_NAME", "k8s.pod.name"),
    ("POD_NAME", "k8s.pod.name"),
    ("K8S_POD_UID", "k8s.pod.uid"),
    ("POD_UID", "k8s.pod.uid"),
    ("K8S_POD_IP", "k8s.pod.ip"),
    ("POD_IP", "k8s.pod.ip"),
    ("K8S_DEPLOYMENT_NAME", "k8s.deployment.name"),
    ("K8S_STATEFULSET_NAME", "k8s.statefulset.name"),
    ("K8S_DAEMONSET_NAME", "k8s.daemonset.name"),
    ("K8S_CONTAINER_NAME", "k8s.container.name"),
];

impl Detector {
    /// The attributes that it may find; none where they may be any.
    pub fn attributes(self) -> Vec<&'static str> {
        match self {
            Self::Env => Vec::new(),
            Self::System => vec!["host.arch", "host.id", "host.name", "os.description", "os.type"],
            Self::Docker => vec!["container.id", "host.name", "os.type"],
            Self::K8s => {
                let mut keys: Vec<&str> = K8S.iter().map(|(_, key)| *key).collect();
                keys.dedup();
                keys
            }
        }
    }

    /// Whether it gives an attribute of which settings say nothing: what the Collector gives.
    fn gives(self, key: &str) -> bool {
        self != Self::System || matches!(key, "host.name" | "os.type")
    }

    /// What it finds.
    ///
    /// # Errors
    ///
    /// When what it looks at makes no sense, such as a list that is not one.
    pub fn detect(self, place: &dyn Place) -> Result<BTreeMap<String, String>, String> {
        let mut found = BTreeMap::new();
        let mut add = |key: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                found.entry(key.to_owned()).or_insert(value);
            }
        };
        match self {
            Self::Env => {
                let text = place.env("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
                for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
                    let Some((key, value)) = pair.split_once('=') else {
                        let name = "OTEL_RESOURCE_ATTRIBUTES";
                        return Err(format!("{name}: \"{pair}\" is not a key, \"=\" and a value"));
                    };
                    add(key.trim(), Some(percent_decoded(value.trim())));
                }
            }
            Self::System | Self::Docker => {
                add("host.name", place.host_name());
                add("os.type", Some(system().to_owned()));
                if self == Self::System {
                    add("host.id", place.file("/etc/machine-id").map(|id| id.trim().to_owned()));
                    add("host.arch", Some(architecture().to_owned()));
                    let release = place.file("/etc/os-release").unwrap_or_default();
                    add("os.description", os_name(&release));
                } else {
                    let group = place.file("/proc/self/cgroup").unwrap_or_default();
                    let mounts = place.file("/proc/self/mountinfo").unwrap_or_default();
                    add("container.id", container_id(&group).or_else(|| mounted_id(&mounts)));
                }
            }
            Self::K8s => K8S.iter().for_each(|(variable, key)| add(key, place.env(variable))),
        }
        Ok(found)
    }
}

/// The operating system as OpenTelemetry spells it.
fn system() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// As OpenTelemetry spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn os_name(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// The first 64 hexadecimal digits in a row.
fn container_id(text: &str) -> Option<String> {
    let mut parts = text.split(|character: char| !character.is_ascii_alphanumeric());
    parts.find(|part| is_container_id(part)).map(str::to_owned)
}

/// That of the folder from which files of the container's own are mounted, such as its host name.
/// Layers of its image have numbers of the same kind.
fn mounted_id(mounts: &str) -> Option<String> {
    let mut folders = mounts.split("containers/").skip(1).filter_map(|rest| rest.split('/').next());
    folders.find(|folder| is_container_id(folder)).map(str::to_owned)
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDetection {
    attributes: Vec<(String, String)>,
    overrides: bool,
}

impl ResourceDetection {
    /// Looks once. The first detector that knows a key is believed; `switches` turn attributes of
    /// detectors on and off; `overrides` replaces what resources say themselves.
    ///
    /// # Errors
    ///
    /// Those of the detectors.
    pub fn new(
        detectors: &[Detector],
        switches: &[(Detector, String, bool)],
        overrides: bool,
        place: &dyn Place,
    ) -> Result<Self, String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for detector in detectors {
            for (key, value) in detector.detect(place)? {
                let switch = switches.iter().find(|(of, name, _)| of == detector && *name == key);
                if switch.map_or_else(|| detector.gives(&key), |(.., on)| *on) {
                    all.entry(key).or_insert(value);
                }
            }
        }
        Ok(Self { attributes: all.into_iter().collect(), overrides })
    }
}

impl Edit for ResourceDetection {
    fn edit(&self, batch: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        for (key, value) in &self.attributes {
            let key_text = batch.add_text(key.as_bytes())?;
            let value = Value::String(batch.add_text(value.as_bytes())?);
            for at in 0..batch.resources().len() {
                let owner = Owner::Resource(at);
                if self.overrides || batch.find_attribute(owner, key.as_bytes()).is_none() {
                    batch.set_attribute(owner, key_text, value)?;
                }
            }
        }
        Ok(())
    }

    fn concerns(&self, batch: &SpanBatch) -> bool {
        !self.attributes.is_empty() && !batch.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{attributes, one};
    use super::*;

    struct There;

    impl Place for There {
        fn env(&self, name: &str) -> Option<String> {
            match name {
                "OTEL_RESOURCE_ATTRIBUTES" => {
                    Some("service.name=other, a=b%2Cc%ZZ%+1 ,host.name=mine".to_owned())
                }
                "NODE_NAME" => Some("node-1".to_owned()),
                "K8S_POD_NAME" => Some("pod-1".to_owned()),
                "POD_NAME" => Some("pod-2".to_owned()),
                "K8S_NAMESPACE" => Some(String::new()),
                _ => None,
            }
        }

        fn file(&self, path: &str) -> Option<String> {
            match path {
                "/etc/machine-id" => Some("abc\n".to_owned()),
                "/etc/os-release" => Some("ID=x\nPRETTY_NAME=\"X 1\"\n".to_owned()),
                "/proc/self/cgroup" => Some("0::/\n".to_owned()),
                "/proc/self/mountinfo" => {
                    let id = "0123456789abcdef".repeat(4);
                    let layer = "fedcba9876543210".repeat(4);
                    Some(format!(
                        "1 2 0:1 / / rw - overlay overlay upperdir=/docker/overlay2/{layer}/diff\n\
                         3 1 0:2 /docker/containers/{id}/hostname /etc/hostname rw\n"
                    ))
                }
                _ => None,
            }
        }

        fn host_name(&self) -> Option<String> {
            Some("box".to_owned())
        }
    }

    #[test]
    fn detectors_find_what_there_is() {
        let id = "0123456789abcdef".repeat(4);
        let (os, arch) = (system(), architecture());
        let container = format!("container.id={id} host.name=box os.type={os}");
        let system =
            format!("host.arch={arch} host.id=abc host.name=box os.description=X 1 os.type={os}");
        for (detector, expected) in [
            (Detector::Env, "a=b,c%ZZ%+1 host.name=mine service.name=other"),
            (Detector::System, &system),
            (Detector::Docker, &container),
            (Detector::K8s, "k8s.node.name=node-1 k8s.pod.name=pod-1"),
        ] {
            let found = detector.detect(&There).unwrap();
            let known = detector.attributes();
            let is_known = |key: &String| known.is_empty() || known.contains(&key.as_str());
            assert!(found.keys().all(is_known), "{detector:?}: {found:?}");
            let found: Vec<String> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(found.join(" "), expected, "{detector:?}");
        }
        assert!(!Detector::System.detect(&Here).unwrap().is_empty());
    }

    #[test]
    fn the_first_detector_is_believed_and_resources_when_told_so() {
        let detectors = [Detector::Env, Detector::System];
        for (overrides, service) in [(true, "other"), (false, "shop")] {
            let mut batch = one(vec![]);
            let edit = ResourceDetection::new(&detectors, &[], overrides, &There).unwrap();
            edit.edit(&mut batch, &Client::default()).unwrap();
            let found = attributes(&batch, Owner::Resource(0));
            assert!(found.contains(&format!("service.name='{service}'")), "{found}");
            assert!(found.contains("host.name='mine'"), "{found}");
        }
    }

    #[test]
    fn attributes_are_switched_on_and_off() {
        let os = system();
        let switch = |key: &str, on| (Detector::System, key.to_owned(), on);
        for (switches, expected) in [
            (vec![], format!("host.name=box os.type={os}")),
            (
                vec![switch("host.id", true), switch("os.type", false)],
                "host.id=abc host.name=box".to_owned(),
            ),
        ] {
            let detectors = [Detector::System];
            let edit = ResourceDetection::new(&detectors, &switches, true, &There).unwrap();
            let found: Vec<String> =
                edit.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(found.join(" "), expected);
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        struct Broken;
        impl Place for Broken {
            fn env(&self, _: &str) -> Option<String> {
                Some("a=b,c".to_owned())
            }
            fn file(&self, _: &str) -> Option<String> {
                None
            }
            fn host_name(&self) -> Option<String> {
                None
            }
        }
        let error = ResourceDetection::new(&[Detector::Env], &[], true, &Broken).unwrap_err();
        assert!(error.contains("\"c\" is not a key"), "{error}");
    }
}
