//! A server of canned answers, for tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that a [`Stub`] got.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method, target and version.
    pub line: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} Stub\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        out += &format!("{name}: {value}\r\n");
    }
    let mut out = (out + "\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

/// Gives its answers in order, whatever is asked; the last one again and again.
#[derive(Debug)]
pub struct Stub {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Stub {
    /// Serves from a thread of its own, one connection at a time, until the process ends.
    pub fn new(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut answers: Vec<Vec<u8>> = answers.into_iter().collect();
        answers.reverse();
        if !answers.is_empty() {
            let received = received.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    serve(stream.unwrap(), &mut answers, &received);
                }
            });
        }
        Self { url, received }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// An address at which nobody listens any more, of a stub without answers.
    pub fn into_dead_url(self) -> String {
        self.url
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answers: &mut Vec<Vec<u8>>, received: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = receive(&mut reader) {
        received.lock().unwrap().push(request);
        let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
        if writer.write_all(&answer).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut impl BufRead) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let line = lines.remove(0);
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Received { line, body })
}
