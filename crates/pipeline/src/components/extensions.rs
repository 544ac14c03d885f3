//! Extensions.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use config::{Diagnostic, Id, Reader, Secret};
use http::HeaderName;

use super::servers::{ServerPlan, auth, cors, endpoint, http_timeouts, tls};
use crate::component::{Extension, ExtensionPlan, Plan, Role, Still, Surroundings};
use crate::extensions::{
    BasicAuth, BasicClient, BearerToken, BearerTokenSettings, FileStorage, FileStorageSettings,
    HealthCheck, HealthCheckSettings, Htpasswd, TokenSource,
};
use crate::graph::Registry;
use crate::receivers::ServerSettings;

pub(super) fn register(registry: &mut Registry) {
    registry.add_extension("file_storage", |reader| Arc::new(file_storage(reader)));
    registry.add_extension("basicauth", |reader| Arc::new(basic_auth(reader)));
    registry.add_extension("bearertokenauth", |reader| Arc::new(bearer_token(reader)));
    registry.add_extension("health_check", |reader| Arc::new(health_check(reader)));
    registry.add_extension("memory_ballast", |reader| Arc::new(memory_ballast(reader)));
}

struct FileStoragePlan(FileStorageSettings);

fn file_storage(reader: &mut Reader<'_, '_>) -> FileStoragePlan {
    let defaults = FileStorageSettings::default();
    let directory = reader.field("directory").string().map(PathBuf::from);
    if directory.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        reader.fault("directory", "must not be empty");
    }
    let mode =
        reader.field("directory_permissions").parsed("permissions such as \"0750\"", |text| {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
            mode.ok_or_else(|| format!("{text:?} is no octal number up to 0777"))
        });
    // Folders are locked at once or not at all, and space is given back as it comes free: these keys
    // ask for what needs no asking here.
    reader.field("timeout").duration();
    reader.field("recreate").bool();
    reader.field("compaction").section(|reader| {
        for key in ["on_start", "on_rebound", "cleanup_on_start"] {
            reader.field(key).bool();
        }
        reader.field("directory").string();
        for key in [
            "rebound_needed_threshold_mib",
            "rebound_trigger_threshold_mib",
            "max_transaction_size",
        ] {
            reader.field(key).int::<i64>(0..=i64::MAX);
        }
        reader.field("check_interval").duration();
    });
    FileStoragePlan(FileStorageSettings {
        directory: directory.unwrap_or(defaults.directory),
        create_directory: reader.field("create_directory").bool().unwrap_or_default(),
        directory_mode: mode.unwrap_or(defaults.directory_mode),
        fsync: reader.field("fsync").bool().unwrap_or_default(),
    })
}

impl Plan for FileStoragePlan {}

#[async_trait]
impl ExtensionPlan for FileStoragePlan {
    fn is_a(&self, role: Role) -> bool {
        role == Role::Storage
    }

    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        let settings = self.0.clone();
        let open = tokio::task::spawn_blocking(|| FileStorage::open(settings));
        Ok(Arc::new(open.await.map_err(|error| error.to_string())??))
    }
}

enum BasicAuthPlan {
    Server { file: Option<PathBuf>, inline: Htpasswd },
    Client { user: Source, password: Source },
}

/// A text, or the file that holds it.
enum Source {
    Text(Secret),
    File(PathBuf),
}

impl Source {
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.expose().to_owned()),
            Self::File(path) => read(path).map(|text| text.trim_end().to_owned()),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let text = config::read_file(path).and_then(|bytes| {
        let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
        String::from_utf8(bytes).map_err(no_text)
    });
    text.map_err(|error| format!("{}: {error}", path.display()))
}

/// Reports at the map, lest the line of a secret be shown.
fn whole(reader: &mut Reader<'_, '_>, message: &str) {
    reader.report(|owner, at| Diagnostic::error(format!("{owner}: {message}")).at(at, ""));
}

fn basic_auth(reader: &mut Reader<'_, '_>) -> BasicAuthPlan {
    let server = reader.field("htpasswd").section(|reader| {
        let file = reader.field("file").string().filter(|path| !path.is_empty()).map(PathBuf::from);
        let text = reader.field("inline").secret();
        let mut inline = Htpasswd::default();
        if let Err(error) = inline.add(text.as_ref().map_or("", Secret::expose)) {
            whole(reader, &format!("'inline' is no htpasswd file: {error}"));
        } else if file.is_none() && inline.is_empty() {
            reader.fault("inline", "must have a user, or `file` must name a file that has");
        }
        (file, inline)
    });
    let client = reader.field("client_auth").section(|reader| {
        let mut source = |text: &'static str, file: &'static str| {
            let own = reader.field(text).secret().filter(|own| !own.expose().is_empty());
            let path = reader.field(file).string().filter(|path| !path.is_empty());
            match (own, path) {
                (Some(_), Some(_)) => {
                    whole(reader, &format!("only one of {text} and {file} may be specified"));
                    None
                }
                (Some(own), None) => Some(Source::Text(own)),
                (None, Some(path)) => Some(Source::File(PathBuf::from(path))),
                (None, None) => {
                    reader.fault(text, "must be specified");
                    None
                }
            }
        };
        let user = source("username", "username_file");
        let password = source("password", "password_file");
        if let Some(Source::Text(user)) = &user
            && user.expose().contains(':')
        {
            whole(reader, "'username' must not have a colon");
        }
        let none = || Source::Text(Secret::default());
        (user.unwrap_or_else(none), password.unwrap_or_else(none))
    });
    match (server, client) {
        (Some(_), Some((user, password))) => {
            let words = "and 'client_auth' exclude each other: one extension checks who sends or \
                         says who we are";
            reader.fault("htpasswd", words);
            BasicAuthPlan::Client { user, password }
        }
        (None, Some((user, password))) => BasicAuthPlan::Client { user, password },
        (server, None) => {
            if server.is_none() {
                reader.fault("htpasswd", "or 'client_auth' must be specified");
            }
            let (file, inline) = server.unwrap_or_default();
            BasicAuthPlan::Server { file, inline }
        }
    }
}

impl Plan for BasicAuthPlan {}

#[async_trait]
impl ExtensionPlan for BasicAuthPlan {
    fn is_a(&self, role: Role) -> bool {
        match self {
            Self::Server { .. } => role == Role::Authenticator,
            Self::Client { .. } => role == Role::ClientAuth,
        }
    }

    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        Ok(Arc::new(match self {
            Self::Client { user, password } => {
                BasicAuth::client(BasicClient::new(&user.read()?, &password.read()?)?)
            }
            Self::Server { file, inline } => {
                let mut users = Htpasswd::default();
                if let Some(path) = file {
                    let told = |error| format!("{}: {error}", path.display());
                    users.add(&read(path)?).map_err(told)?;
                }
                users.merge(inline);
                if users.is_empty() {
                    return Err("there is no user who could send".to_owned());
                }
                BasicAuth::server(users)
            }
        }))
    }
}

struct BearerTokenPlan(BearerTokenSettings);

fn bearer_token(reader: &mut Reader<'_, '_>) -> BearerTokenPlan {
    let token = reader.field("token").secret().filter(|token| !token.expose().is_empty());
    let tokens = reader.field("tokens").strings().filter(|tokens| !tokens.is_empty());
    let file = reader.field("filename").string().filter(|path| !path.is_empty());
    if tokens.iter().flatten().any(String::is_empty) {
        whole(reader, "'tokens' must not hold an empty token");
    }
    let given = usize::from(token.is_some()) + usize::from(tokens.is_some());
    if given + usize::from(file.is_some()) != 1 {
        whole(reader, "exactly one of 'token', 'tokens' and 'filename' must be specified");
    }
    let source = match (file, token, tokens) {
        (Some(path), _, _) => TokenSource::File(PathBuf::from(path)),
        (None, Some(token), _) => TokenSource::Given(vec![token.expose().to_owned()]),
        (None, None, tokens) => TokenSource::Given(tokens.unwrap_or_default()),
    };
    let mut settings = BearerTokenSettings::new(source);
    if let Some(scheme) = reader.field("scheme").string() {
        settings.scheme = scheme;
    }
    let header = reader.field("header").parsed("the name of a header", |name| {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is not the name of a header"))
    });
    if let Some(header) = header {
        settings.header = header;
    }
    BearerTokenPlan(settings)
}

impl Plan for BearerTokenPlan {}

#[async_trait]
impl ExtensionPlan for BearerTokenPlan {
    fn is_a(&self, role: Role) -> bool {
        matches!(role, Role::Authenticator | Role::ClientAuth)
    }

    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        Ok(Arc::new(BearerToken::new(self.0.clone())?))
    }
}

struct BallastPlan;

/// Calmed Go's garbage collector, which there is none of here.
fn memory_ballast(reader: &mut Reader<'_, '_>) -> BallastPlan {
    reader.report(|owner, at| {
        let words = "the extension \"memory_ballast\" was removed from the Collector in 2024";
        Diagnostic::warning(format!("{owner}: {words}"))
            .at(at, "it has no effect here")
            .help("leave it out: there is no garbage collector to be calmed")
    });
    reader.field("size_mib").int::<u64>(0..=u64::MAX);
    reader.field("size_in_percentage").int::<u64>(0..=100);
    BallastPlan
}

impl Plan for BallastPlan {}

impl Extension for Still {}

#[async_trait]
impl ExtensionPlan for BallastPlan {
    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        Ok(Arc::new(Still))
    }
}

struct HealthCheckPlan {
    server: ServerPlan,
    settings: HealthCheckSettings,
}

/// Takes the keys of `healthcheckv2`, too, as far as they are about HTTP.
fn health_check(reader: &mut Reader<'_, '_>) -> HealthCheckPlan {
    let endpoint = endpoint(reader, "localhost:13133");
    reader.field("use_v2").bool();
    reader.field("component_health").node();
    reader.refused("grpc", "is not supported: health is told over HTTP");
    if let Some(plan) = reader.field("http").section(health_check_v2) {
        return plan;
    }
    let mut server = ServerSettings::default();
    http_timeouts(reader, &mut server);
    // Asked by machines: no page, nothing to compress, no body.
    cors(reader);
    for key in ["response_headers", "compression_algorithms", "max_request_body_size"] {
        reader.field(key).node();
    }
    reader.field("include_metadata").bool();
    // The Collector has this for old times' sake; problems of exporters are always told here.
    reader.field("check_collector_pipeline").node();
    if auth(reader).is_some() {
        reader.fault("auth", "is not supported: health is told to everybody who reaches the port");
    }
    let path = path(reader);
    let bodies = reader
        .field("response_body")
        .section(|reader| (reader.field("healthy").string(), reader.field("unhealthy").string()));
    let (healthy, unhealthy) = bodies.unwrap_or_default();
    HealthCheckPlan {
        server: ServerPlan { endpoint, settings: server, tls: tls(reader), auth: None },
        settings: HealthCheckSettings { path, healthy, unhealthy },
    }
}

fn health_check_v2(reader: &mut Reader<'_, '_>) -> HealthCheckPlan {
    let endpoint = endpoint(reader, "localhost:13133");
    let mut server = ServerSettings::default();
    http_timeouts(reader, &mut server);
    // The effective configuration is not shown over this port.
    reader.field("config").node();
    let status = reader.field("status").section(|reader| {
        if reader.field("enabled").bool() == Some(false) {
            reader.fault("enabled", "must be true: nothing else is told here");
        }
        path(reader)
    });
    HealthCheckPlan {
        server: ServerPlan { endpoint, settings: server, tls: tls(reader), auth: None },
        settings: HealthCheckSettings { path: status.flatten(), ..HealthCheckSettings::default() },
    }
}

fn path(reader: &mut Reader<'_, '_>) -> Option<String> {
    reader.field("path").parsed("a path", |path| match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(format!("{path:?} must begin with a slash")),
    })
}

impl Plan for HealthCheckPlan {
    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        self.server.port().into_iter().collect()
    }
}

#[async_trait]
impl ExtensionPlan for HealthCheckPlan {
    async fn start(&self, _: &Id, around: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        let server = self.server.settings(around)?;
        let listener = self.server.bind().await?;
        let (settings, health) = (self.settings.clone(), around.health.clone());
        Ok(Arc::new(HealthCheck::start(listener, server, settings, health)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_users_has_an_end() {
        let found = read(Path::new("/dev/zero"));
        assert_eq!(found, Err("/dev/zero: it is larger than 16 MiB".to_owned()));
    }
}
