//! The AdmissionReview of an answer. Its types are defined here because kube 5.0.0 writes the patch as an array of numbers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::decision::{Decision, ImageDecision};
use super::json::{push_number, push_string, quote_json};
use super::operators::Operator;
use super::patch::Patch;
use super::reason::Reason;
use super::review::{API_VERSION, KIND};
use super::rule::{Mode, Rule};

/// Characters that the API server's documentation asks a warning not to exceed.
const MAX_WARNING_CHARS: usize = 120;
/// More warnings would not be read.
pub(super) const MAX_WARNINGS: usize = 4;
/// Characters of the message of a denial.
const MAX_DENIAL_CHARS: usize = 512;
/// Bytes of one audit annotation. Decisions that do not fit are counted.
const MAX_AUDIT_BYTES: usize = 16 << 10;

/// Bytes of an answer beside its patch: the audit annotation with each quote escaped, warnings, and `uid`.
const MOST_BESIDE_A_PATCH_BYTES: usize = 2 * MAX_AUDIT_BYTES;
/// Bytes of memory that an answer may have beyond its length.
const MOST_SPARE_BYTES: usize = 2 * MOST_BESIDE_A_PATCH_BYTES;

pub(super) struct Content<'c> {
    pub uid: &'c str,
    pub patch: Option<Patch<'c>>,
    /// Why the object can't be understood.
    pub problem: Option<&'c str>,
    /// Whether the request is denied because of the problem.
    pub is_denied: bool,
    pub warnings: Vec<String>,
    pub decisions: &'c [ImageDecision<'c>],
}

/// Returns the AdmissionReview in JSON.
pub(super) fn write(content: &Content) -> Vec<u8> {
    let Content { uid, patch, problem, is_denied, warnings, decisions } = content;
    // A large patch must not be copied by a buffer that doubles. It is in the buffer twice while it is encoded.
    let most_patch_bytes = patch.as_ref().map_or(0, |patch| patch.most_bytes() + base64_bytes(patch.most_bytes()));
    let beside_bytes = MOST_BESIDE_A_PATCH_BYTES.min(512 + 256 * decisions.len());
    let mut body = Vec::with_capacity(most_patch_bytes + beside_bytes);
    for part in [r#"{"apiVersion":""#, API_VERSION, r#"","kind":""#, KIND, r#"","response":{"uid":"#] {
        body.extend_from_slice(part.as_bytes());
    }
    push_string(&mut body, uid);
    body.extend_from_slice(if *is_denied { br#","allowed":false"# } else { br#","allowed":true"# });
    if let Some(problem) = problem.filter(|_| *is_denied) {
        body.extend_from_slice(br#","status":{"code":403,"reason":"Forbidden","message":"#);
        push_string(&mut body, &denial(problem));
        body.push(b'}');
    }
    if let Some(patch) = patch {
        body.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
        push_base64(&mut body, |body| patch.write(decisions, body));
        body.push(b'"');
    }
    push_warnings(&mut body, warnings);
    push_audit_annotation(&mut body, decisions);
    body.extend_from_slice(b"}}");
    if body.capacity() - body.len() > MOST_SPARE_BYTES {
        body.shrink_to_fit();
    }
    body
}

const fn base64_bytes(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Appends what the function appends, in base64.
fn push_base64(to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    write(to);
    let plain_end = to.len();
    let encoded_bytes = base64_bytes(plain_end - start);
    to.resize(plain_end + encoded_bytes, 0);
    let (plain, encoded) = to.split_at_mut(plain_end);
    // The space is as large as the encoded text.
    let _ = BASE64_STANDARD.encode_slice(&plain[start..], encoded);
    to.copy_within(plain_end.., start);
    to.truncate(start + encoded_bytes);
}

/// Appends the decisions under a key with their hash: a key can be set once, and a reinvocation has the same Pod.
fn push_audit_annotation(to: &mut Vec<u8>, decisions: &[ImageDecision]) {
    if decisions.is_empty() {
        return;
    }
    to.extend_from_slice(br#","auditAnnotations":{"decisions-"#);
    let hash_start = to.len();
    to.extend_from_slice(br#"00000000":""#);
    let start = to.len();
    to.push(b'{');
    for (index, image) in decisions.iter().enumerate() {
        let before = to.len();
        if index > 0 {
            to.push(b',');
        }
        // Names may have any length: they are validated after admission.
        let fits = before - start + image.place.name.len() + audited(image).0.map_or(0, str::len) <= MAX_AUDIT_BYTES;
        if fits {
            push_audited(to, image);
        }
        if !fits || to.len() - start > MAX_AUDIT_BYTES {
            to.truncate(before);
            to.extend_from_slice(if index == 0 { br#""more":"# } else { br#","more":"# });
            push_number(to, decisions.len() - index);
            break;
        }
    }
    to.push(b'}');
    let digest: [u8; 32] = Sha256::digest(&to[start..]).into();
    for (at, digit) in to[hash_start..hash_start + 8].iter_mut().enumerate() {
        let nibble = if at % 2 == 0 { digest[at / 2] >> 4 } else { digest[at / 2] & 15 };
        *digit = b"0123456789abcdef"[usize::from(nibble)];
    }
    quote_json(to, start);
    to.extend_from_slice(br#""}"#);
}

/// Returns the image as written, and the new one, if the audit annotation has them.
fn audited<'d>(image: &'d ImageDecision) -> (Option<&'d str>, Option<&'d str>) {
    let from = Some(&*image.image);
    match &image.decision {
        Decision::Rewrite { result, .. } | Decision::Restore { result } => (from, Some(result)),
        Decision::NotRewritten { would_be: Some(_), .. } => (from, None),
        Decision::NotRewritten { would_be: None, .. } => (None, None),
    }
}

/// Appends the place of an image and the decision about it.
fn push_audited(to: &mut Vec<u8>, image: &ImageDecision) {
    image.place.push_string(to);
    let (from, new) = audited(image);
    let decision = &image.decision;
    let fields = [
        ("from", from),
        ("reason", decision.reason().map(Reason::as_str)),
        ("rule", decision.rule().map(|rule| &*rule.name)),
        ("to", new),
        ("would_be", decision.would_be()),
    ];
    to.push(b':');
    let mut separator = b'{';
    for (key, value) in fields {
        if let Some(value) = value {
            to.push(std::mem::replace(&mut separator, b','));
            push_string(to, key);
            to.push(b':');
            push_string(to, value);
        }
    }
    to.push(b'}');
}

fn push_warnings(to: &mut Vec<u8>, lines: &[String]) {
    let mut separator: &[u8] = br#","warnings":["#;
    for line in lines {
        to.extend_from_slice(separator);
        push_string(to, line);
        separator = b",";
    }
    if !lines.is_empty() {
        to.push(b']');
    }
}

/// Returns one line for each rule that rewrites images, or would if it enforced, in the order of the images. Images that name
/// a failover have a line of their own.
///
/// If `operator` compares the images, a line of its own says so.
pub(super) fn warnings(
    images: &[ImageDecision],
    problem: Option<&str>,
    operator: Option<&'static Operator>,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if let Some(problem) = problem {
        lines.push(format!("pullthrough did not rewrite this object: {problem}"));
    }
    let is_rewritten = images.iter().any(|image| matches!(image.decision, Decision::Rewrite { .. }));
    if let Some(Operator { name, .. }) = operator.filter(|_| is_rewritten) {
        lines.push(format!(
            "pullthrough: {name} may recreate this Pod: it compares images; `pullthrough scan` names the fix"
        ));
    }
    let counts = counts(images);
    let warnings = counts.len() + lines.len();
    for Count { first, rule, failover, images: count } in &counts {
        if lines.len() == MAX_WARNINGS {
            break;
        }
        let pulled = match (rule.mode, count) {
            (Mode::Enforce, 1) => "image is",
            (Mode::Enforce, _) => "images are",
            (Mode::Observe, 1) => "image would be",
            (Mode::Observe, _) => "images would be",
        };
        let (cache, note) = match failover.and_then(|_| images[*first].decision.cache()) {
            Some(cache) => (cache, ", a failover"),
            None => (rule.matcher.target(), ""),
        };
        lines.push(format!("pullthrough: {count} {pulled} pulled through {cache} (rule {}{note})", rule.name));
    }
    if warnings > MAX_WARNINGS {
        let more = warnings - (MAX_WARNINGS - 1);
        lines.truncate(MAX_WARNINGS - 1);
        lines.push(format!("pullthrough: {more} more rules match images"));
    }
    lines.into_iter().map(|line| printable(line, MAX_WARNING_CHARS)).collect()
}

/// The images of one rule that have one cache.
struct Count<'i> {
    /// The position of the first one.
    first: usize,
    rule: &'i Rule,
    failover: Option<usize>,
    images: usize,
}

impl Count<'_> {
    fn key(&self) -> (*const Rule, Option<usize>) {
        (std::ptr::from_ref(self.rule), self.failover)
    }

    /// Adds another count, if it is of the same rule and cache.
    fn add(&mut self, other: &Self) -> bool {
        let is_same = self.key() == other.key();
        if is_same {
            self.images += other.images;
        }
        is_same
    }
}

/// Counts the images of each rule and cache, in the order of the first image of each.
fn counts<'i>(images: &'i [ImageDecision]) -> Vec<Count<'i>> {
    let mut counts: Vec<Count> = Vec::new();
    for (first, image) in images.iter().enumerate() {
        let (rule, failover) = match &image.decision {
            Decision::Rewrite { rule, failover, .. } => (*rule, *failover),
            Decision::NotRewritten { reason: Reason::Observed, rule: Some(rule), .. } => (*rule, None),
            Decision::NotRewritten { .. } | Decision::Restore { .. } => continue,
        };
        let count = Count { first, rule, failover, images: 1 };
        if !counts.last_mut().is_some_and(|last| last.add(&count)) {
            counts.push(count);
        }
    }
    counts.sort_unstable_by_key(|count| (count.key(), count.first));
    counts.dedup_by(|later, earlier| earlier.add(later));
    counts.sort_unstable_by_key(|count| count.first);
    counts
}

/// Returns the message of a denial.
fn denial(problem: &str) -> String {
    let line =
        format!("pullthrough can't read this Pod, and the rules deny such Pods (whenNotUnderstood: deny): {problem}");
    printable(line, MAX_DENIAL_CHARS)
}

/// Returns a line without control characters, for which the API server drops a warning, and cut to a length.
pub(super) fn printable(line: String, max_chars: usize) -> String {
    if line.len() <= max_chars && line.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return line;
    }
    let escaped = line.chars().flat_map(|c| {
        let escape = c.is_control().then(|| c.escape_default());
        let plain = escape.is_none().then_some(c);
        escape.into_iter().flatten().chain(plain)
    });
    let mut text: String = escaped.take(max_chars + 1).collect();
    if let Some((last, _)) = text.char_indices().nth(max_chars) {
        text.truncate(last);
        text.pop();
        text.push('…');
    }
    text
}
