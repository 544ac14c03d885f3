//! A real broker of Kafka's, from `tests/kafka/setup.sh`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kafka::{Cluster, ClusterSettings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// How long a broker may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);

/// A broker. Its process ends with it, and with the test's process, however that ends.
pub struct Broker {
    folder: tempfile::TempDir,
    ports: [u16; 3],
    libraries: PathBuf,
    running: Option<(Child, ChildStdin)>,
    /// Whom its certificate comes from.
    pub authority_pem: String,
}

/// The broker that tests share, each with topics and groups of its own.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

/// A name that no other test has.
pub fn name(of: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{of}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn libraries() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kafka/setup.sh");
        let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    };
    FOUND.get_or_init(find).clone()
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// PEM in one line, as a file of properties wants it.
fn line(pem: &str) -> String {
    pem.trim().lines().collect::<Vec<_>>().join("\\n")
}

impl Broker {
    /// A new one, with three partitions for each topic.
    pub fn start() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let mut broker = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: free_ports(),
            libraries: libraries(),
            running: None,
            authority_pem: root.pem(),
        };
        broker.configure(&line(&leaf.pem()), &line(&key.serialize_pem()));
        broker.format();
        broker.run();
        broker
    }

    fn configure(&self, certificate: &str, key: &str) {
        let [plain, controller, secure] = self.ports;
        let login = "org.apache.kafka.common.security";
        let properties = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secure}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://localhost:{secure}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.certificate.chain={certificate}
ssl.keystore.key={key}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_plain=\"plain-secret\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
log.dirs={data}
num.partitions=3
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.enable=false
",
            data = self.folder.path().join("data").display(),
        );
        fs::write(self.folder.path().join("server.properties"), properties).unwrap();
        let log = "rootLogger.level=WARN
rootLogger.appenderRef.out.ref=Out
appender.out.type=Console
appender.out.name=Out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c %m%n
";
        fs::write(self.folder.path().join("log4j2.properties"), log).unwrap();
    }

    fn java(&self) -> Vec<String> {
        let log = self.folder.path().join("log4j2.properties");
        let words = [
            "java",
            "-Xms64m",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            &format!("-Dlog4j2.configurationFile={}", log.display()),
            "-cp",
            &format!("{}/*", self.libraries.display()),
        ];
        words.map(str::to_owned).to_vec()
    }

    fn properties(&self) -> String {
        self.folder.path().join("server.properties").display().to_string()
    }

    fn format(&self) {
        let java = self.java();
        let output = Command::new(&java[0])
            .args(&java[1..])
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", "q1Sh-9_ISia_zwGINzRvyQ"])
            .args(["--add-scram", "SCRAM-SHA-256=[name=small,password=small-secret]"])
            .args(["--add-scram", "SCRAM-SHA-512=[name=large,password=large-secret]"])
            .args(["--config", &self.properties()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Starts it where it was stopped, and waits until it answers.
    pub fn run(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("out.log"))
            .unwrap();
        // The shell ends the broker when its own input ends, which the system sees to when the test's
        // process has ended.
        let script = "folder=$1; shift; \"$@\" </dev/null & broker=$!
            read -r _; told=$?; kill -9 $broker; wait; [ $told -eq 0 ] || rm -rf \"$folder\"";
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(self.folder.path())
            .args(self.java())
            .args(["kafka.Kafka", &self.properties()])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        self.running = Some((child, stdin));
        self.wait();
    }

    fn wait(&self) {
        let settings = ClusterSettings { brokers: vec![self.address()], ..Default::default() };
        let cluster = Cluster::new(settings, std::sync::Arc::new(kafka::Tcp));
        let begun = Instant::now();
        // On a thread of its own: a test may have a runtime already.
        let answers = || {
            let ask = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let asked = cluster.refresh(Some(Vec::new()));
                runtime.unwrap().block_on(asked).is_ok_and(|found| !found.brokers.is_empty())
            };
            std::thread::scope(|scope| scope.spawn(ask).join().unwrap())
        };
        while !answers() {
            let log = fs::read_to_string(self.folder.path().join("out.log")).unwrap();
            assert!(begun.elapsed() < START_MAX, "the broker does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills it, as a crash would. What it was told stays on its disk.
    pub fn stop(&mut self) {
        if let Some((mut child, mut stdin)) = self.running.take() {
            let _ = stdin.write_all(b"\n");
            drop(stdin);
            child.wait().unwrap();
        }
    }

    /// Makes a topic whose batches the broker compresses in its own way, whatever they come in.
    pub fn create_topic(&self, topic: &str, compression: &str) {
        let text = |text: &str| [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat();
        // CreateTopics, version 2 (Kafka protocol guide): one topic of one partition, one setting.
        let request = [
            &[0, 19, 0, 2, 0, 0, 0, 1][..],
            &text("test"),
            &1i32.to_be_bytes(),
            &text(topic),
            &1i32.to_be_bytes(),
            &1i16.to_be_bytes(),
            &0i32.to_be_bytes(),
            &1i32.to_be_bytes(),
            &text("compression.type"),
            &text(compression),
            &30_000i32.to_be_bytes(),
            &[0],
        ]
        .concat();
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).unwrap();
        // Behind the number of the request, a throttle, the count of topics and the topic's name.
        let code = &answer[12 + 2 + topic.len()..][..2];
        assert_eq!(code, [0, 0], "{answer:?}");
    }

    /// Where it listens without TLS.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where it listens with TLS, and asks who one is.
    pub fn secure_address(&self) -> String {
        format!("localhost:{}", self.ports[2])
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}
