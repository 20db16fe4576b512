//! The name server of a page's guest: a page cannot look names up, so each name gets an address of its own, by which it is found again.

use smoltcp::wire::{DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// The first of the addresses that stand for names: 198.18.0.0/15, which is for tests of networks (RFC 2544) and routed nowhere.
const FIRST_ADDRESS: u32 = 0xc612_0000;

/// How many there are, without the first and the last.
const ADDRESS_COUNT: u32 = (1 << 17) - 2;

/// Names that are remembered; beyond them the oldest is forgotten.
const NAMES_MAX: usize = 4096;

/// Bytes of the longest name as text (RFC 1035 2.3.4, without the length bytes at both ends).
const NAME_BYTES_MAX: usize = 253;

/// Bytes of the longest question that is looked at: with the extensions that resolvers send, far less than a frame.
const QUERY_BYTES_MAX: usize = 1024;

/// Bytes of a message's header (RFC 1035 4.1.1).
const HEADER_BYTES: usize = 12;

/// Seconds for which an answer may be kept. Short, since an address is given to another name when it is forgotten.
const KEEP_SECONDS: u32 = 60;

/// The names that the guest has asked for, and their addresses.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Number of each name that is remembered.
    numbers: BTreeMap<String, u32>,
    /// The names, with ascending numbers.
    names: VecDeque<String>,
    /// The number of the first of them.
    first: u32,
}

impl Names {
    /// The name that an address stands for.
    pub(super) fn name(&self, address: Ipv4Addr) -> Option<&str> {
        let offset = u32::from(address).checked_sub(FIRST_ADDRESS + 1)?;
        if offset >= ADDRESS_COUNT {
            return None;
        }
        let first = self.first % ADDRESS_COUNT;
        let index = (offset + ADDRESS_COUNT - first) % ADDRESS_COUNT;
        self.names.get(index as usize).map(String::as_str)
    }

    /// The address that stands for a name.
    fn address(&mut self, name: String) -> Ipv4Addr {
        let number = match self.numbers.get(&name) {
            Some(number) => *number,
            None => self.remember(name),
        };
        Ipv4Addr::from(FIRST_ADDRESS + 1 + number % ADDRESS_COUNT)
    }

    fn remember(&mut self, name: String) -> u32 {
        if self.names.len() >= NAMES_MAX {
            if let Some(oldest) = self.names.pop_front() {
                self.numbers.remove(&oldest);
            }
            // A multiple of the addresses, so that the numbers' remainders go on where they were.
            self.first = (self.first + 1) % ADDRESS_COUNT;
            if self.first == 0 {
                self.renumber();
            }
        }
        let number = self.first + self.names.len() as u32;
        self.names.push_back(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// Counts from the first name on again.
    fn renumber(&mut self) {
        let names = self.names.iter().cloned();
        self.numbers = names.zip(0..).collect();
    }

    /// The answer to a message for the name server (RFC 1035 4.1); none to what is no question.
    pub(super) fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        if query.len() > QUERY_BYTES_MAX {
            return None;
        }
        let packet = DnsPacket::new_checked(query).ok()?;
        if packet.flags().contains(DnsFlags::RESPONSE) {
            return None;
        }
        if packet.opcode() != DnsOpcode::Query {
            return Some(reply(&packet, None, DnsRcode::NotImp, None));
        }
        let question = DnsQuestion::parse(packet.payload());
        let (1, Ok((_, question))) = (packet.question_count(), question) else {
            return Some(reply(&packet, None, DnsRcode::FormErr, None));
        };
        let asked = Some(&question);
        let Some(name) = name_from_question(&packet, &question) else {
            return Some(reply(&packet, asked, DnsRcode::NXDomain, None));
        };
        let address = match question.type_ {
            DnsQueryType::A if is_guest_itself(&name) => Some(Ipv4Addr::LOCALHOST),
            DnsQueryType::A => Some(self.address(name)),
            // There is the name, and nothing of that kind about it: resolvers ask for the next kind then.
            _ => None,
        };
        Some(reply(&packet, asked, DnsRcode::NoError, address))
    }
}

/// `localhost` never leaves a computer (RFC 6761 6.3).
fn is_guest_itself(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The name in a question, in lower case; none for one that no URL can have.
fn name_from_question(packet: &DnsPacket<&[u8]>, question: &DnsQuestion<'_>) -> Option<String> {
    let mut name = String::new();
    for label in packet.parse_name(question.name) {
        let label = label.ok()?;
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(is_letter) || name.len() + 1 + label.len() > NAME_BYTES_MAX + 1 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let letters = label
            .iter()
            .map(|byte| char::from(byte.to_ascii_lowercase()));
        name.extend(letters);
    }
    (!name.is_empty()).then_some(name)
}

/// A message that answers another.
fn reply(
    query: &DnsPacket<&[u8]>,
    question: Option<&DnsQuestion<'_>>,
    rcode: DnsRcode,
    address: Option<Ipv4Addr>,
) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut packet = DnsPacket::new_unchecked(&mut bytes[..]);
    packet.set_transaction_id(query.transaction_id());
    let asked_for = query.flags() & DnsFlags::RECURSION_DESIRED;
    packet.set_flags(DnsFlags::RESPONSE | DnsFlags::RECURSION_AVAILABLE | asked_for);
    packet.set_opcode(query.opcode());
    packet.set_question_count(u16::from(question.is_some()));
    packet.set_answer_record_count(u16::from(address.is_some()));
    // The last four bits of the flags.
    bytes[3] |= u8::from(rcode);
    if let Some(question) = question {
        let begin = bytes.len();
        bytes.resize(begin + question.buffer_len(), 0);
        question.emit(&mut bytes[begin..]);
    }
    if let Some(address) = address {
        // RFC 1035 4.1.3, the name by a pointer to the question's (4.1.4).
        bytes.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        bytes.extend_from_slice(&[0, 1, 0, 1]);
        bytes.extend_from_slice(&KEEP_SECONDS.to_be_bytes());
        bytes.extend_from_slice(&[0, 4]);
        bytes.extend_from_slice(&address.octets());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    fn address(answer: &[u8]) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
        (answer[7] == 1).then(|| Ipv4Addr::from(octets))
    }

    #[test]
    fn each_name_has_one_address_and_is_found_by_it() {
        let mut names = Names::default();
        let first = names.answer(&query("Example.org", 1)).unwrap();
        assert_eq!(first[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        let first = address(&first).unwrap();
        assert_eq!(first, Ipv4Addr::new(198, 18, 0, 1));
        let other = address(&names.answer(&query("a.example", 1)).unwrap()).unwrap();
        assert_ne!(first, other);
        let again = names.answer(&query("example.ORG", 1)).unwrap();
        assert_eq!(address(&again), Some(first));
        assert_eq!(names.name(first), Some("example.org"));
        assert_eq!(names.name(other), Some("a.example"));
        for unknown in [
            [198, 18, 0, 3],
            [198, 18, 0, 0],
            [10, 0, 2, 2],
            [198, 19, 255, 255],
        ] {
            assert_eq!(names.name(Ipv4Addr::from(unknown)), None);
        }
        let own = names.answer(&query("localhost", 1)).unwrap();
        assert_eq!(address(&own), Some(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn other_questions_are_answered_too() {
        let mut names = Names::default();
        let check = |names: &mut Names, query: &[u8], rcode: u8| {
            let answer = names.answer(query).unwrap();
            assert_eq!((answer[3] & 15, answer[7]), (rcode, 0), "{query:x?}");
        };
        for kind in [28, 15, 255] {
            check(&mut names, &query("example.org", kind), 0);
        }
        check(&mut names, &query("a b", 1), 3);
        check(&mut names, &query("example.org", 1)[..20], 1);
        let mut update = query("example.org", 1);
        update[2] |= 5 << 3;
        check(&mut names, &update, 4);
        let mut answer = query("example.org", 1);
        answer[2] |= 0x80;
        assert_eq!(names.answer(&answer), None);
        assert_eq!(names.answer(&[0; 5]), None);
    }

    #[test]
    fn the_oldest_names_are_forgotten() {
        let mut names = Names::default();
        let count = ADDRESS_COUNT as usize + NAMES_MAX + 10;
        let mut last = Vec::new();
        for number in 0..count {
            let address = names.address(format!("n{number}"));
            last.push(address);
            assert_eq!(names.name(address), Some(&format!("n{number}")[..]));
        }
        assert_eq!(names.names.len(), NAMES_MAX);
        assert_eq!(names.numbers.len(), NAMES_MAX);
        for (number, address) in last.iter().enumerate().skip(count - NAMES_MAX) {
            assert_eq!(names.name(*address), Some(&format!("n{number}")[..]));
            assert_eq!(names.address(format!("n{number}")), *address);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80), is_near in any::<bool>()) {
            let mut near = query("example.org", 1);
            if is_near {
                for (at, byte) in bytes.iter().enumerate().take(near.len()) {
                    if byte % 4 == 0 {
                        near[at] ^= byte;
                    }
                }
            }
            let mut names = Names::default();
            if let Some(answer) = names.answer(if is_near { &near } else { &bytes }) {
                prop_assert!(answer.len() <= QUERY_BYTES_MAX + 100);
            }
        }
    }
}
