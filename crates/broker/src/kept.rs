//! A session on its way to another node, and what two nodes say to one another while it moves:
//! `Ask` (the new node wants it), `Pass` (so does another one, which asked me after you), `Whole` (the
//! session), `Settled` (the new node's routes are in everywhere), `Late` (what still came to the old
//! node). Every message begins with a version and names the client and the request. Numbers are big endian.

use cluster::Stamp;
use mqtt::Message;

use crate::frame::{Publication, Reader, put_bytes, put_text};
use crate::mailbox::Letter;

const VERSION: u8 = 1;
const ASK: u8 = 1;
const WHOLE: u8 = 2;
const SETTLED: u8 = 3;
const LATE: u8 = 4;
const PASS: u8 = 5;

/// The part of a session that outlives its connection.
#[derive(Debug, Default)]
pub(crate) struct KeptSession {
    /// Milliseconds since 1970.
    pub(crate) created_at: u64,
    /// Seconds that it outlives its connection; `u32::MAX`: for ever.
    pub(crate) expiry_secs: u32,
    /// Filters as the client wrote them (with `$share/…`, `$exclusive/…`), with their options.
    pub(crate) subscriptions: Vec<(String, u32)>,
    /// What waits, in order.
    pub(crate) letters: Vec<KeptLetter>,
    /// The window, in the encoding of `mqtt`.
    pub(crate) flight: Vec<u8>,
    /// The will and the seconds of its delay.
    pub(crate) will: Option<(Message, u32)>,
}

/// A letter, whose group is named in full.
#[derive(Debug)]
pub(crate) struct KeptLetter {
    pub(crate) publication: Publication,
    pub(crate) options: u32,
    pub(crate) message: Message,
}

impl KeptLetter {
    pub(crate) fn new(publication: Publication, letter: Letter) -> KeptLetter {
        KeptLetter { publication, options: letter.options, message: letter.message }
    }

    pub(crate) fn letter(self) -> Letter {
        Letter { message: self.message, options: self.options }
    }
}

impl KeptSession {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.created_at.to_be_bytes());
        out.extend_from_slice(&self.expiry_secs.to_be_bytes());
        out.extend_from_slice(&(self.subscriptions.len() as u32).to_be_bytes());
        for (filter, options) in &self.subscriptions {
            put_text(&mut out, filter);
            out.extend_from_slice(&options.to_be_bytes());
        }
        encode_letters(&mut out, &self.letters);
        put_bytes(&mut out, &self.flight);
        match &self.will {
            None => out.push(0),
            Some((message, delay)) => {
                out.push(1);
                put_bytes(&mut out, message.as_bytes());
                out.extend_from_slice(&delay.to_be_bytes());
            }
        }
        out
    }

    /// `None`: these bytes are no session.
    pub(crate) fn decode(bytes: &[u8]) -> Option<KeptSession> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let mut kept =
            KeptSession { created_at: reader.u64()?, expiry_secs: reader.u32()?, ..KeptSession::default() };
        for _ in 0..reader.u32()? {
            kept.subscriptions.push((reader.text()?.to_owned(), reader.u32()?));
        }
        kept.letters = decode_letters(&mut reader)?;
        kept.flight = reader.bytes()?.to_vec();
        if reader.byte()? != 0 {
            kept.will = Some((Message::from_bytes(reader.bytes()?).ok()?, reader.u32()?));
        }
        Some(kept)
    }
}

fn encode_letters(out: &mut Vec<u8>, letters: &[KeptLetter]) {
    out.extend_from_slice(&(letters.len() as u32).to_be_bytes());
    for letter in letters {
        out.extend_from_slice(&letter.publication.0.to_be_bytes());
        out.extend_from_slice(&letter.options.to_be_bytes());
        put_bytes(out, letter.message.as_bytes());
    }
}

fn decode_letters(reader: &mut Reader<'_>) -> Option<Vec<KeptLetter>> {
    let mut letters = Vec::new();
    for _ in 0..reader.u32()? {
        let publication = Publication(reader.u64()?);
        let options = reader.u32()?;
        letters.push(KeptLetter {
            publication,
            options,
            message: Message::from_bytes(reader.bytes()?).ok()?,
        });
    }
    Some(letters)
}

/// One message between the home shards of a client id on two nodes.
#[derive(Debug)]
pub(crate) enum Told {
    /// The client has connected to me at `stamp`; end its connection to you and give me its session,
    /// or, if `fresh`, end that too.
    Ask { fresh: bool, stamp: Stamp },
    /// The node with that key has asked me so, but you have the session.
    Pass { key: u64, fresh: bool, stamp: Stamp },
    /// Here it is; `None`: there is none.
    Whole(Option<Vec<u8>>),
    /// Every node's messages for it come to me now.
    Settled,
    /// These came to you before they did.
    Late(Vec<KeptLetter>),
}

impl Told {
    pub(crate) fn encode(&self, client: &str, request: u64) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_text(&mut out, client);
        out.extend_from_slice(&request.to_be_bytes());
        match self {
            Told::Ask { fresh, stamp } => {
                out.extend_from_slice(&[ASK, u8::from(*fresh)]);
                out.extend_from_slice(&stamp.encode());
            }
            Told::Pass { key, fresh, stamp } => {
                out.extend_from_slice(&[PASS, u8::from(*fresh)]);
                out.extend_from_slice(&stamp.encode());
                out.extend_from_slice(&key.to_be_bytes());
            }
            Told::Whole(None) => out.extend_from_slice(&[WHOLE, 0]),
            Told::Whole(Some(kept)) => {
                out.extend_from_slice(&[WHOLE, 1]);
                put_bytes(&mut out, kept);
            }
            Told::Settled => out.push(SETTLED),
            Told::Late(letters) => {
                out.push(LATE);
                encode_letters(&mut out, letters);
            }
        }
        out
    }

    /// The client id, the request, what is said. `None`: these bytes say nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(&str, u64, Told)> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let (client, request) = (reader.text()?, reader.u64()?);
        let told = match reader.byte()? {
            ASK => {
                let fresh = reader.byte()? != 0;
                Told::Ask { fresh, stamp: Stamp::decode(reader.take(16)?)? }
            }
            PASS => {
                let fresh = reader.byte()? != 0;
                Told::Pass { fresh, stamp: Stamp::decode(reader.take(16)?)?, key: reader.u64()? }
            }
            WHOLE if reader.byte()? == 0 => Told::Whole(None),
            WHOLE => Told::Whole(Some(reader.bytes()?.to_vec())),
            SETTLED => Told::Settled,
            LATE => Told::Late(decode_letters(&mut reader)?),
            _ => return None,
        };
        Some((client, request, told))
    }
}

/// The client id that bytes of [`crate::Effects::tell`] are about, so that the receiving node finds its
/// home shard.
pub fn told_client(bytes: &[u8]) -> Option<&str> {
    let mut reader = Reader(bytes);
    (reader.byte()? == VERSION).then_some(())?;
    reader.text()
}

#[cfg(test)]
mod tests {
    use mqtt::{Epoch, MessageRef, Properties, QoS};

    use super::*;

    fn session() -> KeptSession {
        let message = MessageRef {
            topic: "t",
            payload: b"x",
            properties: Properties::NONE,
            qos: QoS::AtLeastOnce,
            retain: false,
            created: Epoch(5),
            expiry: Some(1),
            publisher: b"p",
        };
        let message = message.to_message();
        KeptSession {
            created_at: 7,
            expiry_secs: 9,
            subscriptions: vec![("$share/g/a/+".to_owned(), 3), ("b".to_owned(), 1 << 4)],
            letters: vec![KeptLetter { publication: Publication(4), options: 1, message: message.clone() }],
            flight: vec![1, 2, 3],
            will: Some((message, 60)),
        }
    }

    #[test]
    fn a_session_survives_its_bytes_and_no_cut_is_taken_for_one() {
        let bytes = session().encode();
        let back = KeptSession::decode(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", session()));
        for cut in 0..bytes.len() {
            assert!(KeptSession::decode(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_nodes_say_survives_its_bytes() {
        let stamp = Stamp { time: 3, node: 4 };
        for told in [
            Told::Ask { fresh: true, stamp },
            Told::Pass { key: 5, fresh: false, stamp },
            Told::Whole(None),
            Told::Whole(Some(vec![1, 2])),
            Told::Settled,
            Told::Late(session().letters),
        ] {
            let bytes = told.encode("client", 77);
            let (client, request, back) = Told::decode(&bytes).unwrap();
            assert_eq!((client, request, format!("{back:?}")), ("client", 77, format!("{told:?}")));
            assert_eq!(told_client(&bytes), Some("client"));
            for cut in 0..bytes.len() {
                assert!(Told::decode(&bytes[..cut]).is_none(), "{cut}");
            }
        }
    }
}
