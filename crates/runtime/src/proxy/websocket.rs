//! A WebSocket (RFC 6455) between a client and an app. What they say passes as it is; only the client's frames are counted,
//! so that a drain can end the conversation between two messages.
//!
//! Nothing else would end it: neither side knows of the drain, and the app would be killed in the middle of it. The runtime
//! says 1001 "going away" to the app in the client's place. An app answers what it was asked before and then the closing
//! handshake, which the client sees as the app's own. What the client sends after that moment is never given to the app, so
//! whoever got no answer before the Close frame may ask again elsewhere.

use std::io;
use std::pin::pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split};

/// Read at a time.
const CHUNK: usize = 8 * 1024;
/// Status of a Close frame (RFC 6455 7.4.1).
const GOING_AWAY: u16 = 1001;
const CLOSE: u8 = 0x8;
/// Of a frame's first byte: the last one of its message.
const FIN: u8 = 0x80;
/// Of a frame's second byte: a mask follows the length.
const MASKED: u8 = 0x80;

/// Copies both ways until both ends are done; says goodbye to the app once `ending` resolves.
///
/// # Errors
/// What one of the connections ended with.
pub(super) async fn join<C, A>(client: C, app: A, ending: impl Future<Output = ()>) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncRead + AsyncWrite,
{
    let (from_client, mut to_client) = split(client);
    let (mut from_app, to_app) = split(app);
    let down = async {
        copy(&mut from_app, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up(from_client, to_app, ending), down).map(drop)
}

async fn up(
    mut client: impl AsyncRead + Unpin,
    mut app: impl AsyncWrite + Unpin,
    ending: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; CHUNK];
    let mut ending = pin!(ending);
    let mut is_ending = false;
    while !(is_ending && frames.are_at_rest()) {
        let length = tokio::select! {
            read = client.read(&mut buffer) => read?,
            () = &mut ending, if !is_ending => {
                is_ending = true;
                continue;
            }
        };
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return app.shutdown().await;
        };
        let passed = frames.pass(bytes, is_ending);
        app.write_all(bytes.get(..passed).unwrap_or_default()).await?;
    }
    if !frames.closed {
        app.write_all(&goodbye()).await?;
    }
    // Its answer to the app's Close, too, which no app waits for.
    copy(&mut client, &mut sink()).await?;
    // The app has most likely ended the connection already, as servers do.
    let _ = app.shutdown().await;
    Ok(())
}

/// A Close frame as a client sends it: masked, with a mask that nobody can foresee (RFC 6455 5.3).
fn goodbye() -> [u8; 8] {
    let [a, b, c, d] = fastrand::u32(..).to_be_bytes();
    let [high, low] = GOING_AWAY.to_be_bytes();
    [FIN | CLOSE, MASKED | 2, a, b, c, d, high ^ a, low ^ b]
}

/// Where the frames of one direction begin and end.
#[derive(Debug, Default)]
struct Frames {
    /// Of the frame's head, what has come.
    head: Vec<u8>,
    /// Bytes of the frame's payload that are yet to come.
    left: u64,
    /// Further frames of the same message are to come.
    in_message: bool,
    /// A Close frame has begun.
    closed: bool,
}

impl Frames {
    /// Whether no message is under way.
    fn are_at_rest(&self) -> bool {
        self.head.is_empty() && self.left == 0 && !self.in_message
    }

    /// Takes note of `bytes`, or with `until_rest` of those up to the end of the message that is under way; returns how many.
    fn pass(&mut self, bytes: &[u8], until_rest: bool) -> usize {
        let mut passed = 0;
        while let Some((first, rest)) = bytes.get(passed..).and_then(<[u8]>::split_first) {
            if until_rest && self.are_at_rest() {
                break;
            }
            if self.left > 0 {
                let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(1 + rest.len());
                self.left -= step as u64;
                passed += step;
            } else {
                self.head.push(*first);
                passed += 1;
                self.end_head();
            }
        }
        passed
    }

    /// Reads the frame's head if all of it is there (RFC 6455 5.2).
    fn end_head(&mut self) {
        let [first, second, rest @ ..] = self.head.as_slice() else { return };
        let length = second & !MASKED;
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        if rest.len() < extended + mask {
            return;
        }
        let long = rest.iter().take(extended).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        self.left = if extended == 0 { length.into() } else { long };
        match first & 0x0f {
            CLOSE => self.closed = true,
            // Ping and Pong may come between the frames of a message.
            opcode if opcode > CLOSE => {}
            _ => self.in_message = first & FIN == 0,
        }
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a mask of zeros and a payload of so many bytes.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn messages_end_where_their_last_frame_does_however_the_bytes_arrive() {
        let message: Vec<u8> = [
            frame(0x01, 5),
            frame(0x89, 3),
            frame(0x00, 0),
            frame(0x00, 126),
            frame(0x00, 70_000),
            frame(0x80, 125),
        ]
        .concat();
        let bytes = [message.clone(), frame(0x82, 1)].concat();
        for chunk in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut frames = Frames::default();
            let mut passed = frames.pass(&bytes[..1], false);
            for chunk in bytes[1..].chunks(chunk) {
                let step = frames.pass(chunk, true);
                passed += step;
                if step < chunk.len() {
                    break;
                }
            }
            assert_eq!(passed, message.len(), "in chunks of {chunk}");
            assert!(frames.are_at_rest() && !frames.closed);
        }
    }

    #[test]
    fn a_close_frame_is_noticed() {
        let mut frames = Frames::default();
        frames.pass(&frame(0x88, 2), false);
        assert!(frames.closed && frames.are_at_rest());
    }

    #[tokio::test]
    async fn the_app_is_told_after_the_message_and_hears_nothing_more() {
        let (mut client, inner) = tokio::io::duplex(1024);
        let (outer, mut app) = tokio::io::duplex(1024);
        let (end, ending) = tokio::sync::oneshot::channel::<()>();
        let joined = tokio::spawn(join(inner, outer, async {
            let _ = ending.await;
        }));
        let message = frame(0x81, 10);
        client.write_all(&message[..9]).await.unwrap();
        let mut heard = vec![0; 9];
        app.read_exact(&mut heard).await.unwrap();
        end.send(()).unwrap();
        tokio::task::yield_now().await;
        client.write_all(&[&message[9..], &frame(0x81, 3)].concat()).await.unwrap();
        let mut rest = vec![0; message.len() - 9 + 8];
        app.read_exact(&mut rest).await.unwrap();
        heard.extend(rest);
        assert_eq!(heard[..message.len()], message);
        let [0x88, 0x82, a, b, _, _, high, low] = heard[message.len()..] else { panic!("{heard:?}") };
        assert_eq!(u16::from_be_bytes([high ^ a, low ^ b]), GOING_AWAY);
        app.write_all(b"goodbye").await.unwrap();
        drop(app);
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "goodbye");
        drop(client);
        joined.await.unwrap().unwrap();
    }
}
