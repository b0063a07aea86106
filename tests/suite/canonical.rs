//! JSON that digests depend on: what is read, how it is spelled, and who a request is. Against CPython, V8, serde_json,
//! RFC 8785 and vectors from another implementation.

use openexec_core::digest::Digest;
use openexec_core::json::{
    Members, ReadErrorKind, Value, jcs, pyjson_compact, pyjson_spaced, read, read_presented, read_rendered,
};
use openexec_core::names::{Action, Audience, Nonce, Tenant};
use openexec_core::receipt;
use openexec_core::request::{ExecId, Payload, Request};
use openexec_tests::node::node;
use openexec_tests::python::python;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value as Serde;

fn vectors(text: &str, member: &str) -> Vec<Serde> {
    let vectors: Serde = serde_json::from_str(text).expect("JSON");
    vectors[member].as_array().expect("a list").clone()
}

fn text<'a>(vector: &'a Serde, member: &str) -> &'a str {
    vector[member].as_str().unwrap_or_else(|| panic!("no text '{member}' in {vector}"))
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Object(Members::new(members).expect("each name once"))
}

#[test]
fn what_cpython_spelled_and_digested_is_spelled_and_digested_the_same() {
    let vectors = vectors(include_str!("../vectors/legacy-canonical.json"), "vectors");
    assert_eq!(vectors.len(), 244);
    for vector in vectors {
        let payload = read(text(&vector, "payload_text").as_bytes()).expect("acceptable JSON");
        let action = Value::String(text(&vector, "action").to_owned());
        let request = pyjson_compact(&object(vec![("action", action), ("payload", payload.clone())]));
        assert_eq!(request, text(&vector, "canonical_request"));
        assert_eq!(Digest::of(request.as_bytes()).to_string(), text(&vector, "action_hash"));
        let result = object(vec![("echo", payload)]);
        assert_eq!(pyjson_spaced(&result), text(&vector, "result_json_for_echo"));
        let exec_id = ExecId::parse(text(&vector, "receipt_for_exec_id")).expect("an id");
        assert_eq!(receipt::legacy(exec_id, &result).to_string(), text(&vector, "receipt"));
    }
}

#[test]
fn a_request_has_the_identity_that_another_implementation_gave_it() {
    let vectors = vectors(include_str!("../vectors/approvals.json"), "request_identity");
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let Ok(Value::Object(payload)) = read(vector["payload"].to_string().as_bytes()) else {
            panic!("not an object: {vector}");
        };
        let request = Request {
            action: Action::parse(text(&vector, "action")).expect("an action"),
            payload: Payload::of(payload),
            nonce: Nonce::parse(text(&vector, "nonce")).expect("a nonce"),
        };
        let audience = Audience::parse(text(&vector, "audience")).expect("an audience");
        let identity = request.identity(&audience, &Tenant::parse(text(&vector, "tenant")).expect("a tenant"));
        assert_eq!(identity.record, text(&vector, "request_record"));
        assert_eq!(identity.fingerprint.to_string(), text(&vector, "fingerprint"));
        assert_eq!(identity.exec_id.to_string(), text(&vector, "exec_id"));
    }
}

#[test]
fn the_request_record_is_jcs_whatever_the_names_are() {
    let printable: String = (' '..='~').collect();
    let graphic = &printable[1..];
    let request = Request {
        action: Action::parse(graphic).expect("an action"),
        payload: Payload::of(Members::default()),
        nonce: Nonce::parse(&printable).expect("a nonce"),
    };
    let audience = Audience::parse(graphic).expect("an audience");
    let record = request.identity(&audience, &Tenant::parse(graphic).expect("a tenant")).record;
    assert_eq!(jcs(&read(record.as_bytes()).expect("acceptable JSON")), record);
}

/// RFC 8785, appendix B.
const RFC_8785_NUMBERS: [(u64, &str); 24] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_are_spelled_as_rfc_8785_prints_them() {
    for (bits, spelling) in RFC_8785_NUMBERS {
        assert_eq!(jcs(&Value::Float(f64::from_bits(bits))), spelling, "{bits:016x}");
    }
    for not_a_number in ["NaN", "Infinity", "-Infinity", "nan", "1e309", "-1e309"] {
        assert!(read(not_a_number.as_bytes()).is_err(), "{not_a_number}");
    }
}

#[test]
fn members_are_sorted_and_strings_escaped_as_rfc_8785_shows() {
    let names = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let sorted = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
        \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\
        \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(jcs(&read(names.as_bytes()).expect("JSON")), sorted);
    let sample = r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
    let canonical = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    assert_eq!(jcs(&read(sample.as_bytes()).expect("JSON")), canonical);
}

/// Doubles where spellings differ between languages, and many others: always the same ones.
fn doubles() -> Vec<f64> {
    let tie = 4_370_516_026_181_169.0 / 4.0; // 1092629006545292.25
    let mut doubles: Vec<f64> = vec![tie, 0.1 + 0.2, 1e-5, 1e-7, 123_456_789.0, -0.0, 0.0];
    doubles.extend((-1074..=1023).map(|exponent| 2_f64.powi(exponent)));
    let tens = (-323..=308).map(|exponent| format!("1e{exponent}").parse::<f64>().expect("a double"));
    doubles.extend(tens.flat_map(|ten| [ten.next_down(), ten, ten.next_up()]));
    doubles.extend((0..2000).map(f64::from_bits)); // subnormal
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 33)
    };
    // Quarters just below 2^53: the digit after the last is exactly 5, and the tie goes to even.
    doubles.extend((0..4000).map(|_| f64::from_bits((1075 - 3 + random() % 3) << 52 | random() >> 12)));
    doubles.extend((0..12_000).map(|_| f64::from_bits(random())));
    doubles.retain(|double| double.is_finite());
    doubles
}

#[test]
fn floats_are_spelled_as_cpython_and_v8_spell_them() {
    let doubles = doubles();
    assert!(doubles.len() > 20_000);
    let bits = doubles.iter().map(|double| format!("{:016x}", double.to_bits())).collect::<Vec<_>>().join("\n");
    let repr = "import sys, struct
for line in sys.stdin: print(repr(struct.unpack('>d', bytes.fromhex(line.strip()))[0]))";
    let from_python = python(repr, &bits);
    assert_eq!(from_python.lines().count(), doubles.len());
    for (double, spelling) in doubles.iter().zip(from_python.lines()) {
        assert_eq!(pyjson_compact(&Value::Float(*double)), spelling);
        assert_eq!(pyjson_spaced(&Value::Float(*double)), spelling);
    }
    let to_string = r#"
const lines = require("fs").readFileSync(0, "utf8").split("\n");
console.log(lines.map((hex) => String(Buffer.from(hex, "hex").readDoubleBE(0))).join("\n"));"#;
    if let Some(from_node) = node(to_string, &bits) {
        assert_eq!(from_node.lines().count(), doubles.len());
        for (double, spelling) in doubles.iter().zip(from_node.lines()) {
            assert_eq!(jcs(&Value::Float(*double)), spelling);
        }
    }
}

#[test]
fn a_string_is_spelled_as_cpython_and_v8_spell_it() {
    let characters: Vec<char> = ('\0'..='\u{2ff}').chain('\u{fff0}'..='\u{1000f}').chain(['\u{10ffff}']).collect();
    let code_points = characters.iter().map(|c| u32::from(*c).to_string()).collect::<Vec<_>>().join("\n");
    let dumps = "import sys, json\nfor line in sys.stdin: print(json.dumps(chr(int(line))))";
    for (character, spelling) in characters.iter().zip(python(dumps, &code_points).lines()) {
        assert_eq!(pyjson_compact(&Value::String(character.to_string())), spelling);
    }
    let stringify = r#"
const lines = require("fs").readFileSync(0, "utf8").split("\n");
console.log(JSON.stringify(lines.map((n) => JSON.stringify(String.fromCodePoint(Number(n))))));"#;
    if let Some(spellings) = node(stringify, &code_points) {
        let spellings: Vec<String> = serde_json::from_str(&spellings).expect("JSON");
        assert_eq!(spellings.len(), characters.len());
        for (character, spelling) in characters.iter().zip(spellings) {
            assert_eq!(jcs(&Value::String(character.to_string())), spelling);
        }
    }
}

#[test]
fn text_that_others_read_differently_is_refused_for_its_reason() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let cases: &[(&[u8], ReadErrorKind)] = &[
        (b"\xef\xbb\xbf{}", ReadErrorKind::ByteOrderMark),
        (b"\xff\xfe{\0}\0", ReadErrorKind::NotUtf8),
        (b"\"\xed\xa0\x80\"", ReadErrorKind::NotUtf8),
        (b"\"\xc0\xaf\"", ReadErrorKind::NotUtf8),
        (br#"{"a":1,"a":1}"#, ReadErrorKind::DuplicateMember),
        (br#"{"a":1,"\u0061":1}"#, ReadErrorKind::DuplicateMember),
        (br#"[{"b":{"":1,"c":2,"":3}}]"#, ReadErrorKind::DuplicateMember),
        (br#""\ud800""#, ReadErrorKind::LoneSurrogate),
        (br#""\udc00\ud800""#, ReadErrorKind::LoneSurrogate),
        (br#""\ud800\u0041""#, ReadErrorKind::LoneSurrogate),
        (br#"{"\udfff":1}"#, ReadErrorKind::LoneSurrogate),
        (b"\"\x1f\"", ReadErrorKind::ControlCharacter),
        (b"\"\0\"", ReadErrorKind::ControlCharacter),
        (b"9007199254740992", ReadErrorKind::IntegerTooLarge),
        (b"-9007199254740992", ReadErrorKind::IntegerTooLarge),
        (b"10000000000000000000000000000", ReadErrorKind::IntegerTooLarge),
        (b"1e309", ReadErrorKind::NotFinite),
        (b"{} {}", ReadErrorKind::Trailing),
        (b"1\0", ReadErrorKind::Trailing),
    ];
    for (text, kind) in cases {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(read(text).expect_err(&shown).kind, *kind, "{shown}");
    }
    for text in
        ["", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "-", "1.", ".5", "+1", "1e", "tru", "nul", "'a'", "\u{a0}1"]
    {
        assert!(matches!(read(text.as_bytes()).expect_err(text).kind, ReadErrorKind::Syntax(_)), "{text}");
    }
    assert!(read(deep(64).as_bytes()).is_ok());
    assert_eq!(read(deep(65).as_bytes()).expect_err("too deep").kind, ReadErrorKind::TooDeep);
    assert_eq!(read_rendered(deep(65).as_bytes()).expect_err("too deep").kind, ReadErrorKind::TooDeep);
    assert!(read_presented(deep(65).as_bytes()).is_ok());
    assert_eq!(read_presented(deep(66).as_bytes()).expect_err("too deep").kind, ReadErrorKind::TooDeep);
    assert_eq!(read("[".repeat(1_000_000).as_bytes()).expect_err("too deep").kind, ReadErrorKind::TooDeep);
}

#[test]
fn a_large_integer_is_a_double_only_where_a_program_wrote_our_double_that_way() {
    for (text, double) in [("9007199254740992", 9_007_199_254_740_992.0), ("-100000000000000000000", -1e20)] {
        assert_eq!(read(text.as_bytes()).expect_err(text).kind, ReadErrorKind::IntegerTooLarge);
        assert_eq!(read_rendered(text.as_bytes()), Ok(Value::Float(double)));
    }
    for text in ["9007199254740993", "10000000000000000000000", "9007199254740992000000000000000000000000"] {
        assert_eq!(read_rendered(text.as_bytes()).expect_err(text).kind, ReadErrorKind::IntegerTooLarge);
    }
}

/// Documents of every kind, within our rules.
fn document() -> impl Strategy<Value = Serde> {
    let integer = (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Serde::from);
    let small = (-20_i64..20).prop_map(Serde::from);
    let float = any::<u64>().prop_map(f64::from_bits).prop_filter_map("finite", float_of);
    let integral = (-1_000_000_i32..1_000_000, -3..25_i32).prop_map(|(n, e)| f64::from(n) * 10_f64.powi(e));
    let leaf = prop_oneof![
        Just(Serde::Null),
        any::<bool>().prop_map(Serde::from),
        integer,
        small,
        float,
        integral.prop_filter_map("finite", float_of),
        string().prop_map(Serde::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Serde::from),
            prop::collection::vec((string(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn float_of(float: f64) -> Option<Serde> {
    serde_json::Number::from_f64(float).map(Serde::Number)
}

/// Strings of every plane, and of the characters that are escaped or sorted unusually.
fn string() -> impl Strategy<Value = String> {
    let unusual = prop::sample::select(vec![
        '\0',
        '\u{1f}',
        '"',
        '\\',
        '/',
        '\u{7f}',
        'é',
        '\u{2028}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10000}',
        '😀',
    ]);
    prop_oneof![any::<String>(), "[a-c]{0,2}", prop::collection::vec(unusual, 0..4).prop_map(String::from_iter)]
}

/// Writes a document in one of its many spellings, which `choices` pick.
struct Speller<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    out: String,
}

impl Speller<'_> {
    fn spell(document: &Serde, choices: &[u8]) -> String {
        let mut speller = Speller { choices: choices.iter().cycle(), out: String::new() };
        speller.space();
        speller.value(document);
        speller.space();
        speller.out
    }

    fn choose(&mut self, n: u8) -> u8 {
        self.choices.next().map_or(0, |choice| choice % n)
    }

    fn space(&mut self) {
        let space = ["", "", "", " ", "\n", "\t\r", "  "][usize::from(self.choose(7))];
        self.out.push_str(space);
    }

    fn value(&mut self, value: &Serde) {
        match value {
            Serde::Number(number) if number.is_f64() => self.float(&number.to_string()),
            Serde::String(string) => self.string(string),
            Serde::Array(elements) => {
                self.out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    self.out.push_str(if i == 0 { "" } else { "," });
                    self.space();
                    self.value(element);
                    self.space();
                }
                self.out.push(']');
            }
            Serde::Object(members) => {
                self.out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    self.out.push_str(if i == 0 { "" } else { "," });
                    self.space();
                    self.string(name);
                    self.space();
                    self.out.push(':');
                    self.space();
                    self.value(value);
                    self.space();
                }
                self.out.push('}');
            }
            Serde::Null | Serde::Bool(_) | Serde::Number(_) => self.out.push_str(&value.to_string()),
        }
    }

    /// `text` is serde_json's spelling, which has a point or an exponent.
    fn float(&mut self, text: &str) {
        let spelled = match (self.choose(4), text.split_once('e')) {
            (0, _) => text.to_owned(),
            (1, None) => format!("{text}000"),
            (_, None) => format!("{text}e-0"),
            (1, Some((mantissa, exponent))) => format!("{mantissa}E{exponent}"),
            (_, Some((mantissa, exponent))) if exponent.starts_with(['-', '+']) => format!("{mantissa}E{exponent}"),
            (_, Some((mantissa, exponent))) => format!("{mantissa}e+0{exponent}"),
        };
        self.out.push_str(&spelled);
    }

    fn string(&mut self, string: &str) {
        self.out.push('"');
        for character in string.chars() {
            let must_escape = character < ' ' || character == '"' || character == '\\';
            match self.choose(4) {
                0 => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| self.out += &format!("\\u{unit:04x}")),
                1 => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| self.out += &format!("\\u{unit:04X}")),
                2 if character == '/' => self.out.push_str("\\/"),
                _ if must_escape => {
                    let quoted = Serde::from(character.to_string()).to_string();
                    self.out.push_str(&quoted[1..quoted.len() - 1]);
                }
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
    }
}

/// Whether both readers saw the same value, down to the kind of number and the sign of zero.
fn same(ours: &Value, theirs: &Serde) -> bool {
    match (ours, theirs) {
        (Value::Null, Serde::Null) => true,
        (Value::Bool(ours), Serde::Bool(theirs)) => ours == theirs,
        // serde_json reads the integer `-0` as a double; CPython and we as the integer 0.
        (Value::Integer(0), Serde::Number(theirs)) => theirs.as_f64() == Some(0.0),
        (Value::Integer(ours), Serde::Number(theirs)) => theirs.as_i64() == Some(*ours),
        (Value::Float(ours), Serde::Number(theirs)) => {
            theirs.is_f64() && theirs.as_f64().map(f64::to_bits) == Some(ours.to_bits())
        }
        (Value::String(ours), Serde::String(theirs)) => ours == theirs,
        (Value::Array(ours), Serde::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Serde::Object(theirs)) => {
            ours.iter().count() == theirs.len()
                && ours.iter().all(|(name, ours)| theirs.get(name).is_some_and(|theirs| same(ours, theirs)))
        }
        _ => false,
    }
}

/// Both readers on the same bytes: what we accept, serde_json reads the same; what only it accepts, we refuse for one of
/// our own rules.
#[track_caller]
fn compare_readers(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<Serde>(bytes);
    match (read(bytes), theirs) {
        (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{ours:?} is not {theirs:?}"),
        (Ok(ours), Err(error)) => panic!("only we accept {ours:?}: {error}"),
        (Err(error), Ok(theirs)) => {
            use ReadErrorKind::{DuplicateMember, IntegerTooLarge, TooDeep};
            assert!(matches!(error.kind, DuplicateMember | IntegerTooLarge | TooDeep), "{error} in {theirs}");
        }
        (Err(error), Err(_)) => assert!(error.offset <= bytes.len(), "{error}"),
    }
    // Never a panic, and never less than `read` accepts.
    assert!(read_rendered(bytes).is_ok() || read(bytes).is_err());
    assert!(read_presented(bytes).is_ok() || read_rendered(bytes).is_err());
}

fn config() -> ProptestConfig {
    // No file with past failures: a failure becomes a named test.
    ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_spelling_of_a_document_is_read_as_that_document(
        document in document(),
        choices in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let spelled = Speller::spell(&document, &choices);
        let value = read(spelled.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}: {spelled}")))?;
        prop_assert!(same(&value, &document), "{spelled}");
        compare_readers(spelled.as_bytes());
    }

    #[test]
    fn both_canonical_forms_keep_what_they_promise(document in document()) {
        let value = read(document.to_string().as_bytes()).expect("within our rules");
        // The legacy form keeps everything.
        for spelling in [pyjson_compact(&value), pyjson_spaced(&value)] {
            prop_assert!(spelling.is_ascii());
            let again = read(spelling.as_bytes()).expect("our own spelling");
            prop_assert_eq!(format!("{again:?}"), format!("{value:?}"));
        }
        // JCS keeps the canonical value, and is stable.
        let spelling = jcs(&value);
        let canonical = value.clone().canonical();
        prop_assert_eq!(&read_rendered(spelling.as_bytes()).expect("our own spelling"), &canonical);
        prop_assert_eq!(jcs(&canonical), spelling.clone());
        prop_assert_eq!(&canonical.clone().canonical(), &canonical);
        let theirs: Serde = serde_json::from_str(&spelling).expect("JSON");
        prop_assert_eq!(numbers_as_doubles(theirs), numbers_as_doubles(document));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_read_as_others_read_them(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        compare_readers(&bytes);
    }

    #[test]
    fn text_of_json_characters_is_read_as_others_read_it(text in r#"[-+0-9.eE\[\]{},:" \\utrfalsn/]{0,24}"#) {
        compare_readers(text.as_bytes());
    }

    #[test]
    fn damaged_documents_are_read_as_others_read_them(
        document in document(),
        choices in prop::collection::vec(any::<u8>(), 1..64),
        damage in prop::collection::vec((any::<Index>(), 0..5_u8, any::<u8>()), 1..4),
    ) {
        let mut bytes = Speller::spell(&document, &choices).into_bytes();
        for (at, how, byte) in damage {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 => bytes.insert(at, b"{}[],:\"\\0e-u"[usize::from(byte) % 12]),
                2 if at < bytes.len() => bytes[at] = byte,
                3 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
        compare_readers(&bytes);
    }
}

/// JCS spells every number as a double; so compares this.
fn numbers_as_doubles(value: Serde) -> Serde {
    match value {
        Serde::Number(number) => Serde::from(number.as_f64().map_or(0.0, |double| double + 0.0)), // -0 + 0 is 0
        Serde::Array(elements) => elements.into_iter().map(numbers_as_doubles).collect(),
        Serde::Object(members) => members.into_iter().map(|(name, v)| (name, numbers_as_doubles(v))).collect(),
        Serde::Null | Serde::Bool(_) | Serde::String(_) => value,
    }
}
