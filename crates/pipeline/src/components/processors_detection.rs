//! The processor `resource_detection`.

use config::{Diagnostic, Reader};

use crate::processors::resource_detection::{Detector, Here, Place, ResourceDetection};

/// Settings; nothing where something is wrong, which was reported.
pub(super) fn detection(reader: &mut Reader<'_, '_>) -> Option<ResourceDetection> {
    let detectors = reader.field("detectors").parsed_strings(|name| match name {
        "env" => Ok(Detector::Env),
        "system" => Ok(Detector::System),
        "docker" => Ok(Detector::Docker),
        "k8s" | "k8snode" => Ok(Detector::K8s),
        // Most are of clouds, which nothing here asks.
        other => Err((
            format!("invalid detector key: {other}: there are env, system, docker and k8s here"),
            Some(
                "remove it: `env` adds what OTEL_RESOURCE_ATTRIBUTES says, such as \
                 cloud.provider=aws"
                    .to_owned(),
            ),
        )),
    });
    let detectors = detectors.unwrap_or_else(|| vec![Detector::Env]);
    let overrides = reader.field("override").bool().unwrap_or(true);
    // What is detected here does not wait for anybody.
    reader.field("timeout").duration();
    reader.field("refresh_interval").duration();
    reader.field("fail_on_missing_metadata").bool();
    let mut switches = Vec::new();
    reader.field("env").section(|reader| switched(reader, Detector::Env, &mut switches));
    reader.field("system").section(|reader| {
        // The name is the kernel's: nobody is asked for another one.
        reader.field("hostname_sources").parsed_list(|text| {
            let is_one = ["dns", "os", "cname", "lookup"].contains(&text);
            let wrong = || (format!("contains invalid value: {text:?}"), None);
            is_one.then_some(()).ok_or_else(wrong)
        });
        switched(reader, Detector::System, &mut switches);
    });
    reader.field("docker").section(|reader| switched(reader, Detector::Docker, &mut switches));
    let node = reader.field("k8snode").section(|reader| {
        // Who may ask a server of Kubernetes, which is not asked.
        for key in ["auth_type", "context", "kube_config_path"] {
            reader.field(key).string();
        }
        switched(reader, Detector::K8s, &mut switches);
        reader.field("node_from_env_var").string().filter(|name| !name.is_empty())
    });
    let place = WithNode { node: node.flatten() };
    match ResourceDetection::new(&detectors, &switches, overrides, &place) {
        Ok(edit) => Some(edit),
        Err(error) => {
            reader.fault("detectors", &error);
            None
        }
    }
}

/// This place, with the node's name under a name of the user's.
struct WithNode {
    node: Option<String>,
}

impl Place for WithNode {
    fn env(&self, name: &str) -> Option<String> {
        match &self.node {
            Some(own) if name == "K8S_NODE_NAME" => Here.env(own),
            _ => Here.env(name),
        }
    }

    fn file(&self, path: &str) -> Option<String> {
        Here.file(path)
    }

    fn host_name(&self) -> Option<String> {
        Here.host_name()
    }
}

/// Attributes of a detector that are switched on and off.
fn switched(
    reader: &mut Reader<'_, '_>,
    detector: Detector,
    switches: &mut Vec<(Detector, String, bool)>,
) {
    let own = reader.field("resource_attributes").map_of(|name, reader| {
        let enabled = reader.field("enabled").bool();
        let known = detector.attributes();
        let is_known = known.is_empty() || known.contains(&name);
        if !is_known && enabled != Some(false) {
            reader.report(|owner, at| {
                Diagnostic::error(format!("{owner}: {name:?} is not detected here"))
                    .at(at, "there is no such attribute")
                    .help(format!("there are {}", known.join(", ")))
            });
        }
        enabled
    });
    let own = own.into_iter().flatten();
    switches.extend(own.filter_map(|(name, on)| Some((detector, name, on?))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_named_by_a_variable_of_the_users() {
        // One that every process of the tests has.
        let name = "CARGO_MANIFEST_DIR";
        let place = WithNode { node: Some(name.to_owned()) };
        assert_eq!(place.env("K8S_NODE_NAME"), Here.env(name));
        assert!(place.env(name).is_some());
        assert_eq!(WithNode { node: None }.env("K8S_NODE_NAME"), Here.env("K8S_NODE_NAME"));
    }
}
