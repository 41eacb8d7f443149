//! HTTP/2 vectors as bytes, and what comes back of them. Fields are written as HPACK literals without Huffman coding
//! (RFC 7541 6.2.2), so that anything can stand in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::vector::{Vector, bytes};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Tells our ping from those of a vector.
const OURS: &[u8] = b"the last";

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn parse(line: &str) -> Self {
        let (words, text) = line.split_once(" |").unwrap_or((line, ""));
        let payload = bytes(text.strip_prefix(' ').unwrap_or(text));
        let mut words = words.split(' ');
        let kind = match words.next().unwrap() {
            "DATA" => 0,
            "HEADERS" => 1,
            "CONTINUATION" => 9,
            "FRAME" => number(words.next().unwrap()),
            other => panic!("{other} is not a frame: {line}"),
        };
        let raw = line.starts_with("FRAME");
        let mut flags = if raw { number(words.next().unwrap()) } else { 0 };
        let stream = words.next().unwrap().parse().unwrap();
        for flag in words {
            flags |= match flag {
                "end_stream" => 0x1,
                "end_headers" => 0x4,
                other => panic!("{other} is not a flag"),
            };
        }
        Self { kind, flags, stream, payload }
    }

    /// Adds a field to the head.
    fn field(&mut self, line: &str) {
        // A pseudo-header's name begins with a colon.
        let (pseudo, line) = line.strip_prefix(':').map_or(("", line), |rest| (":", rest));
        let (name, value) = line.split_once(':').expect("NAME: VALUE");
        let (name, value) = (bytes(&format!("{pseudo}{name}")), bytes(value.trim_start_matches(' ')));
        self.payload.push(0);
        for text in [name, value] {
            length(&mut self.payload, text.len());
            self.payload.extend(text);
        }
    }

    fn write(&self, stream: u32, out: &mut Vec<u8>) {
        out.extend(&u32::try_from(self.payload.len()).unwrap().to_be_bytes()[1..]);
        out.extend([self.kind, self.flags]);
        out.extend(stream.to_be_bytes());
        out.extend(&self.payload);
    }
}

/// RFC 7541 5.1, with seven bits in the first byte.
fn length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 127 => out.push(short),
        _ => {
            out.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 0x80);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
    }
}

fn number(word: &str) -> u8 {
    match word.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).unwrap(),
        None => word.parse().unwrap(),
    }
}

/// The vector's frames. What stands below `FLOOD N` comes N times, on streams of its own each time unless `same`.
fn encode(vector: &Vector) -> Vec<u8> {
    let (mut before, mut flooding, mut flood) = (Vec::<Frame>::new(), Vec::<Frame>::new(), None);
    for line in vector.lines.iter().filter(|line| !line.is_empty()) {
        let frames = if flood.is_some() { &mut flooding } else { &mut before };
        if let Some(field) = line.strip_prefix("  ") {
            frames.last_mut().expect("a frame before its fields").field(field);
        } else if let Some(times) = line.strip_prefix("FLOOD ") {
            let (times, step) = times.strip_suffix(" same").map_or((times, 2), |times| (times, 0));
            flood = Some((times.parse::<u32>().unwrap(), step));
        } else {
            frames.push(Frame::parse(line));
        }
    }
    let mut out = Vec::new();
    before.iter().for_each(|frame| frame.write(frame.stream, &mut out));
    let (times, step) = flood.unwrap_or_default();
    for turn in 0..times {
        for frame in &flooding {
            let stream = if frame.stream == 0 { 0 } else { frame.stream + turn * step };
            frame.write(stream, &mut out);
        }
    }
    out
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// By stream: its status, or `reset`.
    pub(crate) streams: BTreeMap<u32, String>,
    /// Whether the connection was ended for an error, or closed.
    pub(crate) ended: bool,
}

/// Sends the vector and reads until each of its `streams` is answered or the connection has ended, then a little longer
/// than a further answer takes.
pub(crate) async fn exchange(
    address: SocketAddr,
    vector: &Vector,
    streams: usize,
    patience: Duration,
) -> Came {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut out = PREFACE.to_vec();
    Frame { kind: SETTINGS, flags: 0, stream: 0, payload: Vec::new() }.write(0, &mut out);
    out.extend(encode(vector));
    Frame { kind: PING, flags: 0, stream: 0, payload: OURS.to_vec() }.write(0, &mut out);
    let (mut read, mut write) = stream.split();
    let mut came = Came::default();
    let reading = async {
        let (mut input, mut pong) = (Vec::new(), false);
        while !(came.ended || (pong && came.streams.len() >= streams)) {
            match read.read_buf(&mut input).await {
                Ok(length) if length > 0 => {}
                _ => {
                    came.ended = true;
                    return;
                }
            }
            while let Some((frame, length)) = decode(&input) {
                input.drain(..length);
                pong |= frame.kind == PING && frame.payload == OURS;
                note(&frame, &mut came);
            }
        }
    };
    let writing = async {
        // It ends with the connection when the other end refuses before it has read all.
        let _ = write.write_all(&out).await;
        std::future::pending::<()>().await;
    };
    let _ = timeout(patience, async {
        tokio::select! { () = reading => {}, () = writing => {} }
    })
    .await;
    sleep(Duration::from_millis(5)).await;
    came
}

fn decode(input: &[u8]) -> Option<(Frame, usize)> {
    let head = input.get(..9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let payload = input.get(9..9 + length)?.to_vec();
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some((Frame { kind: head[3], flags: head[4], stream, payload }, 9 + length))
}

fn note(frame: &Frame, came: &mut Came) {
    match frame.kind {
        1 => {
            came.streams.entry(frame.stream).or_insert_with(|| status(&frame.payload));
        }
        3 => {
            came.streams.insert(frame.stream, "reset".to_owned());
        }
        // The last four bytes are the error; a GOAWAY without one lets its streams finish.
        7 => came.ended |= frame.payload.get(4..8) != Some(&[0; 4]),
        _ => {}
    }
}

/// The status, which comes first; those of the static table (RFC 7541 A) and the literals that are looked for.
fn status(head: &[u8]) -> String {
    let mut head = head;
    while let [0x20..=0x3f, rest @ ..] = head {
        head = rest; // a change of the table's size
    }
    match head {
        [0x88, ..] => "200".to_owned(),
        [0x8c, ..] => "400".to_owned(),
        [0x8d, ..] => "404".to_owned(),
        // Literals in Huffman's code.
        [0x48 | 0x08, 0x82, 0x6c, 0x01, ..] => "501".to_owned(),
        [0x48 | 0x08, 0x83, 0x69, 0x90, 0xff, ..] => "431".to_owned(),
        other => format!("other {:02x?}", &other[..other.len().min(6)]),
    }
}
