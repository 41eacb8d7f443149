//! A DNS server of the test's own, on UDP and TCP of 127.0.0.1, whose answers change while it runs.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Largest answer over UDP here, in bytes; larger ones are truncated and asked for again over TCP.
const UDP_LIMIT: usize = 512;

/// What the server does with queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answering,
    /// SERVFAIL to everything.
    Failing,
    /// No answer to anything.
    Silent,
}

#[derive(Clone)]
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    records: HashMap<(Name, RecordType), Vec<Record>>,
    /// Whether answers to SRV bring the addresses of their targets.
    additional: bool,
    queries: HashMap<(Name, RecordType), usize>,
    over_tcp: usize,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let state = State {
            mood: Mood::Answering,
            records: HashMap::new(),
            additional: true,
            queries: HashMap::new(),
            over_tcp: 0,
        };
        let dns = Self { address, state: Arc::new(Mutex::new(state)) };
        tokio::spawn(dns.clone().serve_udp(udp));
        tokio::spawn(dns.clone().serve_tcp(tcp));
        dns
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(crate) fn sends_no_additional_records(&self) {
        self.state.lock().unwrap().additional = false;
    }

    /// `name` has these addresses.
    pub(crate) fn host(&self, name: &str, addresses: &[Ipv4Addr], ttl: u32) {
        let name = Name::from_ascii(name).unwrap();
        let records =
            addresses.iter().map(|ip| Record::from_rdata(name.clone(), ttl, RData::A(A(*ip)))).collect();
        self.state.lock().unwrap().records.insert((name, RecordType::A), records);
    }

    /// The SRV name `pods` stands for these pods, as a headless Service's named port does: each has a name of its own.
    pub(crate) fn pods(&self, pods: &str, endpoints: &[SocketAddr], ttl: u32) {
        let name = Name::from_ascii(pods).unwrap();
        let mut answers = Vec::new();
        for (n, endpoint) in endpoints.iter().enumerate() {
            let SocketAddr::V4(v4) = endpoint else { panic!("{endpoint} is no IPv4 address") };
            // Label by label below the Service's own name, which follows `_port._tcp`.
            let target = Name::from_ascii(format!("pod-{n}.")).unwrap();
            let target = target.append_domain(&name.trim_to(usize::from(name.num_labels()) - 2)).unwrap();
            self.host(&target.to_ascii(), &[*v4.ip()], ttl);
            let srv = SRV::new(0, 100, endpoint.port(), target);
            answers.push(Record::from_rdata(name.clone(), ttl, RData::SRV(srv)));
        }
        self.state.lock().unwrap().records.insert((name, RecordType::SRV), answers);
    }

    pub(crate) fn forget(&self, name: &str) {
        let name = Name::from_ascii(name).unwrap();
        self.state.lock().unwrap().records.retain(|(known, _), _| *known != name);
    }

    /// How often `name` was asked for.
    pub(crate) fn queries(&self, name: &str, kind: RecordType) -> usize {
        let name = Name::from_ascii(name).unwrap();
        self.state.lock().unwrap().queries.get(&(name, kind)).copied().unwrap_or_default()
    }

    pub(crate) fn over_tcp(&self) -> usize {
        self.state.lock().unwrap().over_tcp
    }

    async fn serve_udp(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let Some(answer) = self.answer(&buffer[..length]) else { continue };
            let mut bytes = answer.to_vec().unwrap();
            if bytes.len() > UDP_LIMIT {
                bytes = answer.truncate().to_vec().unwrap();
            }
            socket.send_to(&bytes, from).await.unwrap();
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(self.clone().serve_stream(stream));
        }
    }

    async fn serve_stream(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            let Some(answer) = self.answer(&query) else { continue };
            self.state.lock().unwrap().over_tcp += 1;
            let bytes = answer.to_vec().unwrap();
            stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    }

    fn answer(&self, query: &[u8]) -> Option<Message> {
        let query = Message::from_vec(query).unwrap();
        let question = query.queries[0].clone();
        let mut state = self.state.lock().unwrap();
        let key = (question.name().clone(), question.query_type());
        *state.queries.entry(key.clone()).or_default() += 1;
        let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(question);
        match state.mood {
            Mood::Silent => return None,
            Mood::Failing => answer.metadata.response_code = ResponseCode::ServFail,
            Mood::Answering => match state.records.get(&key) {
                Some(records) => {
                    answer.add_answers(records.clone());
                    if state.additional {
                        answer.add_additionals(state.targets(records));
                    }
                }
                None if state.records.keys().any(|(name, _)| *name == key.0) => {}
                None => answer.metadata.response_code = ResponseCode::NXDomain,
            },
        }
        Some(answer)
    }
}

impl State {
    fn targets(&self, records: &[Record]) -> Vec<Record> {
        let targets = records.iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => self.records.get(&(srv.target.clone(), RecordType::A)),
            _ => None,
        });
        targets.flatten().cloned().collect()
    }
}
