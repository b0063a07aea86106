//! The log's trees, tiles and texts: against fixed vectors, against the code of others, and against every changed bit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use ed25519_dalek::{Signer as _, SigningKey};
use openexec_core::digest::Digest;
use openexec_core::keys::{PublicKey, Signature, decode_base64, encode_base64};
use openexec_core::log::checkpoint::{
    Checkpoint, CheckpointError, SignedCheckpoint, cosignature_line, cosignature_message, log_signature_line,
};
use openexec_core::log::edge::Edge;
use openexec_core::log::note::{Algorithm, KeyName, Note, NoteError, NoteSignature, VerifierKey};
use openexec_core::log::proof::{TlogProof, TlogProofError};
use openexec_core::log::prove::{Tiles, TilesError, consistency_proof, frontier, inclusion_proof, root};
use openexec_core::log::tile::{EntriesId, TileId};
use openexec_core::log::tree::{
    Frontier, ProofError, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
use openexec_core::log::{entry, leaf_hash_of};
use serde_json::Value;
use sha2::Sha256;
use signed_note::{Note as TheirNote, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Hash, HashReader, Tile};

/// Trees at which a tile, a level or a power of two begins or ends.
const SIZES: [u64; 22] =
    [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 254, 255, 256, 257, 511, 512, 513, 700, 4095, 4097, 9_999, 10_000];

/// The tiles of a growing tree, as an integrator keeps them, and how often they are read.
#[derive(Default)]
struct Kept {
    complete: BTreeMap<(u8, u64), Vec<Digest>>,
    edge: Edge,
    reads: RefCell<BTreeMap<TileId, u32>>,
}

impl Kept {
    fn push(&mut self, leaf: Digest) {
        self.edge.push(leaf);
        for tile in self.edge.take_completed() {
            assert!(self.complete.insert((tile.level, tile.index), tile.hashes).is_none(), "a tile is complete once");
        }
    }
}

impl Tiles for Kept {
    type Error = TileId;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, TileId> {
        *self.reads.borrow_mut().entry(id).or_default() += 1;
        let complete = self.complete.get(&(id.level(), id.index())).and_then(|tile| tile.get(..id.width().into()));
        self.edge.tile(id).or(complete).map(<[_]>::to_vec).ok_or(id)
    }
}

/// The tiles of a tree whose leaves are all the same, of any size.
struct Uniform(Cell<u32>);

impl Tiles for Uniform {
    type Error = ();

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, ()> {
        self.0.set(self.0.get() + 1);
        let hash = (0..u32::from(id.level()) * 8).fold(leaf_hash(b""), |hash, _| node_hash(&hash, &hash));
        Ok(vec![hash; id.width().into()])
    }
}

/// Their store of hashes.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

/// Numbers that look random and are the same every time (splitmix64).
struct Chosen(u64);

impl Chosen {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1) % bound
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/log.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn hash(value: &Value) -> Digest {
    Digest::from_bytes(decode_base64(text(value)).unwrap().try_into().unwrap())
}

fn signing_key(seed: &Value) -> SigningKey {
    SigningKey::from_bytes(Digest::parse(text(seed)).unwrap().as_bytes())
}

fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    Signature::from_bytes(key.sign(message).to_bytes())
}

fn key_of(name: &str, algorithm: Algorithm, key: &SigningKey) -> VerifierKey {
    let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).unwrap();
    VerifierKey::new(KeyName::parse(name).unwrap(), algorithm, public)
}

fn theirs(hashes: &[Digest]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(*hash.as_bytes())).collect()
}

fn bytes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(Digest::as_bytes).copied().collect()
}

/// The keys of the vectors.
struct Keys {
    log: SigningKey,
    log_key: VerifierKey,
    witness: SigningKey,
    witness_key: VerifierKey,
    time: u64,
}

fn keys(vectors: &Value) -> Keys {
    Keys {
        log: signing_key(&vectors["log_seed"]),
        log_key: VerifierKey::parse(text(&vectors["log_vkey"])).unwrap(),
        witness: signing_key(&vectors["witness_seed"]),
        witness_key: VerifierKey::parse(text(&vectors["witness_vkey"])).unwrap(),
        time: vectors["witness_time"].as_u64().unwrap(),
    }
}

impl Keys {
    fn signed(&self, checkpoint: &Checkpoint) -> SignedCheckpoint {
        let by_log = log_signature_line(&self.log_key, &sign(&self.log, checkpoint.text().as_bytes())).unwrap();
        SignedCheckpoint::new(checkpoint.clone(), by_log).with(self.cosigned(checkpoint, self.time)).unwrap()
    }

    fn cosigned(&self, checkpoint: &Checkpoint, time: u64) -> NoteSignature {
        let signature = sign(&self.witness, &cosignature_message(time, checkpoint));
        cosignature_line(&self.witness_key, time, &signature).unwrap()
    }

    /// Whether the log and the witness signed.
    fn accept(&self, checkpoint: &SignedCheckpoint) -> bool {
        checkpoint.verify_log(&self.log_key).is_ok() && checkpoint.verify_witness(&self.witness_key).is_ok()
    }
}

/// Every text that differs in one bit and is still text.
fn one_bit_off(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(move |bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(bytes).ok()
    })
}

#[test]
fn trees_checkpoints_and_proofs_are_those_of_the_vectors() {
    let vectors = vectors();
    let keys = keys(&vectors);
    assert_eq!(key_of(text(&vectors["origin"]), Algorithm::Log, &keys.log).to_string(), text(&vectors["log_vkey"]));
    let witness = key_of(text(&vectors["witness_name"]), Algorithm::Witness, &keys.witness);
    assert_eq!(witness.to_string(), text(&vectors["witness_vkey"]));

    let mut kept = Kept::default();
    for tree in vectors["trees"].as_array().unwrap() {
        let size = tree["size"].as_u64().unwrap();
        for number in kept.edge.size()..size {
            kept.push(leaf_hash_of(&Digest::of(format!("{} receipt {number}", text(&vectors["seed"])).as_bytes())));
        }
        let tree_root = hash(&tree["root"]);
        assert_eq!(kept.edge.root(), tree_root);

        let checkpoint = Checkpoint::new(text(&vectors["origin"]), size, tree_root).unwrap();
        let signed = SignedCheckpoint::parse(text(&tree["checkpoint"])).unwrap();
        assert_eq!(signed.verify_log(&keys.log_key), Ok(&checkpoint));
        assert_eq!(signed.verify_witness(&keys.witness_key), Ok(keys.time));
        assert_eq!(signed.to_string(), text(&tree["checkpoint"]));
        assert_eq!(keys.signed(&checkpoint), signed);

        for case in tree["inclusion"].as_array().unwrap() {
            let index = case["index"].as_u64().unwrap();
            let leaf = leaf_hash_of(&Digest::parse(text(&case["receipt_ref"])).unwrap());
            assert_eq!(leaf, hash(&case["leaf_hash"]));
            let proof = TlogProof::parse(text(&case["tlog_proof"])).unwrap();
            assert_eq!(proof.verify_inclusion_of(&leaf), Ok(()));
            assert_eq!(proof.to_string(), text(&case["tlog_proof"]));
            let ours = inclusion_proof(&kept, index, size).unwrap();
            assert_eq!(proof, TlogProof { index, hashes: ours, checkpoint: signed.clone() });
        }
        for case in tree["consistency"].as_array().unwrap() {
            let old_size = case["old_size"].as_u64().unwrap();
            let proof: Vec<_> = case["proof"].as_array().unwrap().iter().map(hash).collect();
            assert_eq!(consistency_proof(&kept, old_size, size), Ok(proof.clone()));
            assert_eq!(verify_consistency(old_size, &hash(&case["old_root"]), size, &tree_root, &proof), Ok(()));
        }
    }
    assert_eq!(kept.edge.size(), 700);
}

#[test]
fn no_checkpoint_and_no_proof_is_accepted_with_one_bit_changed() {
    let vectors = vectors();
    let keys = keys(&vectors);
    for tree in [&vectors["trees"][0], &vectors["trees"][4]] {
        let case = tree["inclusion"].as_array().unwrap().last().unwrap();
        let leaf = hash(&case["leaf_hash"]);
        let is_accepted = |text: &str| {
            TlogProof::parse(text)
                .is_ok_and(|proof| proof.verify_inclusion_of(&leaf).is_ok() && keys.accept(&proof.checkpoint))
        };
        assert!(is_accepted(text(&case["tlog_proof"])));
        for changed in one_bit_off(text(&case["tlog_proof"])) {
            assert!(!is_accepted(&changed), "{changed}");
        }
        for changed in one_bit_off(text(&tree["checkpoint"])) {
            assert!(!SignedCheckpoint::parse(&changed).is_ok_and(|changed| keys.accept(&changed)), "{changed}");
        }
    }
}

#[test]
fn a_proof_has_one_spelling() {
    let vectors = vectors();
    let proof = text(&vectors["trees"][2]["inclusion"][1]["tlog_proof"]);
    for (changed, error) in [
        (proof.replace("index 1", "extra AAAA\nindex 1"), TlogProofError::Extra),
        (proof.replace("index 1", "index 01"), TlogProofError::Index),
        (proof.replace("index 1", "index  1"), TlogProofError::Index),
        (proof.replace("index 1", "Index 1"), TlogProofError::Index),
        (proof.replace("@v1", "@v2"), TlogProofError::Header),
        (proof.replace("@v1\n", "@v1\r\n"), TlogProofError::Header),
        (proof.replacen("=\n", "\n", 1), TlogProofError::Hashes),
        (proof.replacen("=\n", "=\n\n", 1), TlogProofError::Checkpoint(CheckpointError::Extension)),
        (format!("{proof}\n"), TlogProofError::Checkpoint(CheckpointError::Note(NoteError::Signatures))),
        (String::new(), TlogProofError::Hashes),
    ] {
        assert_eq!(TlogProof::parse(&changed), Err(error), "{changed}");
    }
}

#[test]
fn a_checkpoint_is_three_lines_and_nothing_else() {
    let vectors = vectors();
    let body = SignedCheckpoint::parse(text(&vectors["trees"][2]["checkpoint"])).unwrap().checkpoint().text();
    assert_eq!(Checkpoint::parse(&body).unwrap().size(), 3);
    let empty_tree = format!("log\n0\n{}\n", encode_base64(empty_root().as_bytes()));
    assert!(Checkpoint::parse(&empty_tree).is_ok());
    for (text, error) in [
        (format!("{body}more\n"), CheckpointError::Extension),
        (format!("{body}\n"), CheckpointError::Extension),
        (body.trim_end().to_owned(), CheckpointError::Text),
        (body.replace("\n3\n", "\n03\n"), CheckpointError::Text),
        (body.replace("\n3\n", "\n+3\n"), CheckpointError::Text),
        (body.replace("\n3\n", "\n9223372036854775808\n"), CheckpointError::Text),
        (body.replace("=\n", "\n"), CheckpointError::Text),
        (body.replace("\n3\n", "\n0\n"), CheckpointError::EmptyRoot),
        (body.replace("openexec.example/test-1/log1", ""), CheckpointError::Text),
        (String::new(), CheckpointError::Text),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
}

#[test]
fn a_witness_counts_once_and_a_bad_signature_by_a_known_key_spoils_the_note() {
    let vectors = vectors();
    let keys = keys(&vectors);
    let checkpoint = Checkpoint::new(text(&vectors["origin"]), 1, leaf_hash(b"one")).unwrap();
    let signed = keys.signed(&checkpoint);

    let again = signed.clone().with(keys.cosigned(&checkpoint, keys.time)).unwrap();
    assert_eq!(again, signed);
    let later = signed.clone().with(keys.cosigned(&checkpoint, keys.time + 1)).unwrap();
    assert_eq!(later.signatures().len(), 3);
    assert_eq!(later.verify_witness(&keys.witness_key), Ok(keys.time + 1));

    // The same public key under another name signs as well, and is still one witness.
    let alias = key_of("other.example/w", Algorithm::Witness, &keys.witness);
    let line = cosignature_line(&alias, 7, &sign(&keys.witness, &cosignature_message(7, &checkpoint))).unwrap();
    let aliased = later.with(line).unwrap();
    assert_eq!(aliased.verify_witness(&alias), Ok(7));
    let known = [keys.witness_key.clone(), alias.clone(), keys.witness_key.clone()];
    let found = aliased.cosignatures(&known).unwrap();
    assert_eq!(found.iter().map(|one| (one.witness, one.time)).collect::<Vec<_>>(), [(&known[0], keys.time + 1)]);

    // A line by an unknown key is kept and says nothing; the same line by a known key refuses the note.
    let wrong = cosignature_line(&alias, 8, &sign(&keys.log, b"something else")).unwrap();
    let spoilt = aliased.with(wrong).unwrap();
    assert_eq!(SignedCheckpoint::parse(&spoilt.to_string()).as_ref(), Ok(&spoilt));
    assert!(keys.accept(&spoilt));
    assert_eq!(spoilt.verify_witness(&alias), Err(CheckpointError::Signature));
    assert_eq!(spoilt.cosignatures(&known), Err(CheckpointError::Signature));

    // A cosignature without a signature: its key ID and its time.
    let line = signed.signatures()[1].to_string();
    let bytes = decode_base64(line.rsplit(' ').next().unwrap()).unwrap();
    let short = format!("— {} {}", keys.witness_key.name(), encode_base64(&bytes[..12]));
    let short = signed.to_string().replace(&line, &short);
    assert_eq!(
        SignedCheckpoint::parse(&short).unwrap().verify_witness(&keys.witness_key),
        Err(CheckpointError::Signature)
    );
}

#[test]
fn a_key_signs_only_what_it_is_for() {
    let vectors = vectors();
    let keys = keys(&vectors);
    let checkpoint = Checkpoint::new(text(&vectors["origin"]), 1, leaf_hash(b"one")).unwrap();
    let signed = keys.signed(&checkpoint);
    assert_eq!(signed.verify_log(&keys.witness_key), Err(CheckpointError::Algorithm));
    assert_eq!(signed.verify_witness(&keys.log_key), Err(CheckpointError::Algorithm));
    let signature = sign(&keys.log, checkpoint.text().as_bytes());
    assert_eq!(log_signature_line(&keys.witness_key, &signature), Err(CheckpointError::Algorithm));
    assert_eq!(cosignature_line(&keys.log_key, 1, &signature), Err(CheckpointError::Algorithm));
    assert_eq!(cosignature_line(&keys.witness_key, u64::MAX, &signature), Err(CheckpointError::Signature));

    let renamed = key_of("other.example/log", Algorithm::Log, &keys.log);
    assert_eq!(signed.verify_log(&renamed), Err(CheckpointError::Origin));
    let other = key_of(text(&vectors["origin"]), Algorithm::Log, &keys.witness);
    assert_eq!(signed.verify_log(&other), Err(CheckpointError::Unsigned));
    // The signature of one checkpoint is not that of another.
    let moved = signed.to_string().replace("\n1\n", "\n2\n");
    let moved = SignedCheckpoint::parse(&moved).unwrap();
    assert_eq!(moved.verify_log(&keys.log_key), Err(CheckpointError::Signature));
    assert_eq!(moved.verify_witness(&keys.witness_key), Err(CheckpointError::Signature));
}

#[test]
fn roots_and_proofs_agree_with_two_other_implementations() {
    let mut chosen = Chosen(1);
    let mut kept = Kept::default();
    let mut grown = Frontier::new();
    let mut roots = vec![empty_root()];
    let mut stored = Stored(Vec::new());
    let mut in_memory = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut sizes: Vec<_> = SIZES.into_iter().chain((0..30).map(|_| 1 + chosen.below(10_000))).collect();
    sizes.sort_unstable();
    for size in sizes {
        for number in kept.edge.size()..size {
            let entry = entry(&Digest::of(&number.to_be_bytes()));
            let new = tlog_tiles::stored_hashes(number, &entry, &stored).unwrap();
            stored.0.extend(new);
            in_memory.push(entry.to_vec());
            kept.push(leaf_hash(&entry));
            grown.push(leaf_hash(&entry));
            roots.push(kept.edge.root());
        }
        let tree_root = kept.edge.root();
        let their_root = tlog_tiles::tree_hash(size, &stored).unwrap();
        assert_eq!(tree_root.as_bytes(), &their_root.0);
        assert_eq!(tree_root.as_bytes().as_slice(), in_memory.root().as_bytes().as_slice());
        assert_eq!((root(&kept, size), frontier(&kept, size)), (Ok(tree_root), Ok(grown.clone())));
        assert_eq!(kept.edge.frontier(), &grown);

        let indexes = [0, size - 1].into_iter().chain((0..6).map(|_| chosen.below(size)));
        for index in indexes.collect::<Vec<_>>() {
            let entry = &in_memory.items()[usize::try_from(index).unwrap()];
            let leaf = leaf_hash(entry);
            kept.reads.borrow_mut().clear();
            let ours = inclusion_proof(&kept, index, size).unwrap();
            assert!(kept.reads.borrow().values().all(|n| *n == 1), "a tile is read once");
            assert!(tlog_tiles::prove_record(size, index, &stored).unwrap() == theirs(&ours));
            tlog_tiles::check_record(&theirs(&ours), size, their_root, index, Hash(*leaf.as_bytes())).unwrap();
            let proof = in_memory.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(proof.as_bytes(), bytes(&ours));
            let proof = InclusionProof::try_from_bytes(bytes(&ours)).unwrap();
            in_memory.root().verify_inclusion(entry, index, &proof).unwrap();

            assert_eq!(verify_inclusion(&leaf, index, size, &tree_root, &ours), Ok(()));
            let elsewhere = verify_inclusion(&leaf, index ^ 1, size, &tree_root, &ours);
            assert!(elsewhere.is_err(), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaf, index, size, &leaf_hash(b""), &ours), Err(ProofError::Root));
        }
        let olds = [1, size].into_iter().chain((0..6).map(|_| 1 + chosen.below(size)));
        for old in olds.collect::<Vec<_>>() {
            let old_root = roots[usize::try_from(old).unwrap()];
            let ours = consistency_proof(&kept, old, size).unwrap();
            assert_eq!(root(&kept, old), Ok(old_root));
            let their_old = Hash(*old_root.as_bytes());
            assert!(tlog_tiles::prove_tree(size, old, &stored).unwrap() == theirs(&ours));
            tlog_tiles::check_tree(&theirs(&ours), size, their_root, old, their_old).unwrap();
            let added = usize::try_from(size - old).unwrap();
            if added > 0 {
                assert_eq!(in_memory.prove_consistency(added).as_bytes(), bytes(&ours));
                let proof = ConsistencyProof::try_from_bytes(bytes(&ours)).unwrap();
                let their_old = RootHash::new((*old_root.as_bytes()).into(), old);
                in_memory.root().verify_consistency(&their_old, &proof).unwrap();
            }
            assert_eq!(verify_consistency(old, &old_root, size, &tree_root, &ours), Ok(()));
            assert!(verify_consistency(old, &leaf_hash(b""), size, &tree_root, &ours).is_err());
            assert!(verify_consistency(old, &old_root, size, &leaf_hash(b""), &ours).is_err());
        }
        assert_eq!(consistency_proof(&kept, 0, size), Ok(Vec::new()));
        assert_eq!(verify_consistency(0, &empty_root(), size, &tree_root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &tree_root, size, &tree_root, &[]), Err(ProofError::Root));
        assert_eq!(verify_consistency(0, &empty_root(), size, &tree_root, &[tree_root]), Err(ProofError::Length));
    }
}

#[test]
fn an_edge_restored_from_complete_tiles_is_the_edge_that_grew() {
    let mut kept = Kept::default();
    let leaf = |number: u64| leaf_hash(&number.to_be_bytes());
    for size in 0..=66_000 {
        if SIZES.contains(&size) || [0, 65_535, 65_536, 65_537, 66_000].contains(&size) {
            let last_leaves: Vec<_> = (size - size % 256..size).map(leaf).collect();
            let complete = Kept { complete: kept.complete.clone(), ..Kept::default() };
            let mut restored = Edge::restore(&complete, size, last_leaves.clone()).unwrap();
            assert_eq!(
                (restored.size(), restored.root(), restored.frontier()),
                (size, kept.edge.root(), kept.edge.frontier())
            );
            let mut grown = kept.edge.clone();
            for number in size..size + 300 {
                restored.push(leaf(number));
                grown.push(leaf(number));
            }
            assert_eq!((restored.root(), restored.take_completed()), (grown.root(), grown.take_completed()));

            let more = [last_leaves, vec![empty_root()]].concat();
            assert_eq!(Edge::restore(&complete, size, more), Err(TilesError::Proof(ProofError::Length)));
        }
        kept.push(leaf(size));
    }
}

#[test]
fn a_proof_in_a_tree_of_ten_million_leaves_reads_few_tiles() {
    for size in [10_000_000, (1 << 40) + 12_345, i64::MAX as u64] {
        let tree_root = root(&Uniform(Cell::default()), size).unwrap();
        for (at, index) in [0, size / 3, size - 1].into_iter().enumerate() {
            let tiles = Uniform(Cell::default());
            let proof = inclusion_proof(&tiles, index, size).unwrap();
            assert!(tiles.0.get() <= 16 && (size > 10_000_000 || tiles.0.get() <= 6), "{} tiles", tiles.0.get());
            assert_eq!(verify_inclusion(&leaf_hash(b""), index, size, &tree_root, &proof), Ok(()), "{at}");
            let old = index.max(1);
            let old_root = root(&tiles, old).unwrap();
            let proof = consistency_proof(&tiles, old, size).unwrap();
            assert_eq!(verify_consistency(old, &old_root, size, &tree_root, &proof), Ok(()), "{at}");
        }
    }
}

#[test]
fn a_tile_of_the_wrong_width_or_none_at_all_is_an_error() {
    struct Short;
    impl Tiles for Short {
        type Error = ();
        fn tile(&self, id: TileId) -> Result<Vec<Digest>, ()> {
            Ok(vec![empty_root(); usize::from(id.width()) - 1])
        }
    }
    let first = TileId::new(0, 0, 256).unwrap();
    assert_eq!(Edge::restore(&Short, 256, Vec::new()), Err(TilesError::Width(first)));
    assert!(matches!(root(&Short, 256), Err(TilesError::Width(_))));
    assert!(matches!(inclusion_proof(&Short, 0, 300), Err(TilesError::Width(_))));
    assert!(matches!(consistency_proof(&Short, 7, 300), Err(TilesError::Width(_))));
    let none = Kept::default();
    assert!(matches!(inclusion_proof(&none, 0, 2), Err(TilesError::Tiles(_))));
    assert_eq!(inclusion_proof(&none, 2, 2), Err(TilesError::Proof(ProofError::Range)));
    assert_eq!(consistency_proof(&none, 3, 2), Err(TilesError::Proof(ProofError::Range)));
    assert_eq!(root(&none, u64::MAX), Err(TilesError::Proof(ProofError::Range)));
}

#[test]
fn tile_paths_agree_with_another_implementation() {
    let mut chosen = Chosen(2);
    for _ in 0..2_000 {
        let bits = chosen.below(63) + 1;
        let (level, index) = (u8::try_from(chosen.below(64)).unwrap(), chosen.below(1 << bits));
        let width = u16::try_from(1 + chosen.below(256)).unwrap();
        let ours = TileId::new(level, index, width).unwrap();
        let theirs = Tile::new(8, level, index, width.into(), false).path().replacen("tile/8/", "tile/", 1);
        assert_eq!((ours.to_string(), TileId::parse(&theirs)), (theirs, Some(ours)));
        let entries = EntriesId::new(index, width).unwrap();
        let theirs = Tile::new(8, 0, index, width.into(), true).path().replacen("tile/8/data/", "tile/entries/", 1);
        assert_eq!((entries.to_string(), EntriesId::parse(&theirs)), (theirs, Some(entries)));
    }
    for size in SIZES.into_iter().chain([65_536, 70_000]) {
        for tile in Tile::new_tiles(8, 0, size) {
            let ours = TileId::in_tree(tile.level(), tile.level_index(), size).unwrap();
            assert_eq!(u32::from(ours.width()), tile.width());
        }
    }
}

#[test]
fn notes_are_read_alike_by_another_implementation() {
    let vectors = vectors();
    let keys = keys(&vectors);
    let verifiers = || {
        let verifier = StandardVerifier::new(&keys.log_key.to_string()).unwrap();
        VerifierList::new(vec![Box::new(verifier)])
    };
    for size in 1..20_u64 {
        let checkpoint = Checkpoint::new(text(&vectors["origin"]), size, leaf_hash(&size.to_be_bytes())).unwrap();
        let ours = keys.signed(&checkpoint);
        let note = TheirNote::from_bytes(ours.to_string().as_bytes()).unwrap();
        let (verified, unknown) = note.verify(&verifiers()).unwrap();
        assert_eq!((verified.len(), unknown.len()), (1, 1));
        let body = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((body.origin(), body.size()), (checkpoint.origin(), size));

        let secret = encode_base64(&[[1].as_slice(), keys.log.as_bytes()].concat());
        let id = keys.log_key.to_string();
        let id = id.split('+').nth(1).unwrap();
        let signer = StandardSigner::new(&format!("PRIVATE+KEY+{}+{id}+{secret}", checkpoint.origin())).unwrap();
        let mut note = TheirNote::new(checkpoint.text().as_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer]).unwrap();
        let signed = String::from_utf8(note.to_bytes()).unwrap();
        assert_eq!(SignedCheckpoint::parse(&signed).unwrap().verify_log(&keys.log_key), Ok(&checkpoint));

        if size == 1 {
            for changed in one_bit_off(&ours.to_string()) {
                // They know no limit of names and few others; what they refuse to read, so do we.
                let read_here = Note::parse(&changed).is_ok();
                let read_there = TheirNote::from_bytes(changed.as_bytes()).is_ok();
                assert_eq!(read_here, read_there, "{changed}");
            }
        }
    }
}
