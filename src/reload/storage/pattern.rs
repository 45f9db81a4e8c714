//! Patterns for variable resource names (RFC 8076 §5): POSIX extended regular expressions with `$USER` and `$DOMAIN`.
//!
//! A name must match as a whole. The two variables stand for themselves and never for an expression, whatever characters
//! a user has in his name. All ways through the expression are followed at once, so that matching takes time in
//! proportion to the lengths of expression and name, whoever chose the name.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Characters of a pattern at most.
const MAX_LEN: usize = 256;
/// Parts of an expression that are compiled at most: `{m,n}` repeats what stands before it.
const MAX_PARTS: usize = 8192;
/// Parentheses in parentheses at most.
const MAX_DEPTH: usize = 16;

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    expression: Expression,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Byte(u8),
    Any,
    /// Ranges, both ends included; `true` for everything else.
    Set(Vec<(u8, u8)>, bool),
    User,
    Domain,
    Sequence(Vec<Expression>),
    Either(Vec<Expression>),
    /// At least so many times, and at most.
    Repeat(Box<Expression>, u8, Option<u8>),
}

enum Step {
    Byte(u8),
    Any,
    Set(Vec<(u8, u8)>, bool),
    Split(usize, usize),
    Jump(usize),
}

impl Pattern {
    /// Reads a pattern. `None` when it is no expression that is understood here, when one of the variables is missing, or
    /// when a variable is not delimited on both sides by a fixed character or the end of the name: else the owner of a
    /// short name could take the names of others (RFC 8076 §5.1).
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let text = text.strip_prefix('^').unwrap_or(text);
        let text = text.strip_suffix('$').unwrap_or(text);
        let mut parser = Parser { rest: text.as_bytes(), depth: 0 };
        let expression = parser.either()?;
        let Expression::Sequence(parts) = &expression else { return None };
        let at = |variable: &Expression| parts.iter().position(|p| p == variable);
        let fixed = |i: Option<usize>| match i.and_then(|i| parts.get(i)) {
            None | Some(Expression::Byte(_)) => true,
            Some(_) => false,
        };
        let delimited = |i: usize| fixed(i.checked_sub(1)) && fixed(Some(i + 1));
        let good = [Expression::User, Expression::Domain].iter().all(|v| at(v).is_some_and(delimited));
        (parser.rest.is_empty() && good).then_some(Pattern { expression })
    }

    /// Whether a user name (`user@domain`) may have this Resource Name.
    pub fn matches(&self, user_name: &str, resource_name: &[u8]) -> bool {
        let Some((user, domain)) = user_name.split_once('@') else { return false };
        let mut compiler = Compiler {
            user: user.as_bytes(),
            domain: domain.as_bytes(),
            program: Vec::new(),
            parts: MAX_PARTS,
        };
        if compiler.compile(&self.expression).is_none() {
            return false;
        }
        let program = compiler.program;
        let end = program.len();
        let mut here = Threads::new(end);
        here.follow(0, &program);
        for &byte in resource_name {
            let mut next = Threads::new(end);
            for &at in &here.list {
                let takes = match program.get(at) {
                    Some(Step::Byte(b)) => *b == byte,
                    Some(Step::Any) => true,
                    Some(Step::Set(ranges, not)) => {
                        ranges.iter().any(|(a, b)| (*a..=*b).contains(&byte)) != *not
                    }
                    _ => false,
                };
                if takes {
                    next.follow(at + 1, &program);
                }
            }
            here = next;
        }
        here.list.contains(&end)
    }
}

/// Where the program stands: several places at once, each once.
struct Threads {
    list: Vec<usize>,
    seen: Vec<bool>,
}

impl Threads {
    fn new(end: usize) -> Self {
        Threads { list: Vec::new(), seen: vec![false; end + 1] }
    }

    fn follow(&mut self, at: usize, program: &[Step]) {
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            match self.seen.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match program.get(at) {
                Some(Step::Jump(to)) => open.push(*to),
                Some(Step::Split(a, b)) => open.extend([*a, *b]),
                _ => self.list.push(at),
            }
        }
    }
}

struct Compiler<'a> {
    user: &'a [u8],
    domain: &'a [u8],
    program: Vec<Step>,
    /// How many parts may still be compiled.
    parts: usize,
}

impl Compiler<'_> {
    /// `None` when the expression is too large.
    fn compile(&mut self, expression: &Expression) -> Option<()> {
        self.parts = self.parts.checked_sub(1)?;
        match expression {
            Expression::Byte(b) => self.program.push(Step::Byte(*b)),
            Expression::Any => self.program.push(Step::Any),
            Expression::Set(ranges, not) => self.program.push(Step::Set(ranges.clone(), *not)),
            Expression::User => self.program.extend(self.user.iter().map(|b| Step::Byte(*b))),
            Expression::Domain => self.program.extend(self.domain.iter().map(|b| Step::Byte(*b))),
            Expression::Sequence(parts) => parts.iter().try_for_each(|part| self.compile(part))?,
            Expression::Either(branches) => {
                let mut exits = Vec::new();
                let (last, others) = branches.split_last()?;
                for branch in others {
                    let fork = self.fork();
                    self.compile(branch)?;
                    exits.push(self.program.len());
                    self.program.push(Step::Jump(0));
                    self.join(fork)?;
                }
                self.compile(last)?;
                let end = self.program.len();
                for exit in exits {
                    *self.program.get_mut(exit)? = Step::Jump(end);
                }
            }
            Expression::Repeat(inner, least, most) => {
                (0..*least).try_for_each(|_| self.compile(inner))?;
                let Some(most) = most else {
                    let fork = self.fork();
                    self.compile(inner)?;
                    self.program.push(Step::Jump(fork));
                    return self.join(fork);
                };
                for _ in *least..*most {
                    let fork = self.fork();
                    self.compile(inner)?;
                    self.join(fork)?;
                }
            }
        }
        Some(())
    }

    /// Two ways from here: straight on, and another one that is not known yet.
    fn fork(&mut self) -> usize {
        let fork = self.program.len();
        self.program.push(Step::Split(fork + 1, fork));
        fork
    }

    /// The other way of a fork leads here.
    fn join(&mut self, fork: usize) -> Option<()> {
        let here = self.program.len();
        *self.program.get_mut(fork)? = Step::Split(fork + 1, here);
        Some(())
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn either(&mut self) -> Option<Expression> {
        let mut branches = vec![self.sequence()?];
        while self.skip(b"|") {
            branches.push(self.sequence()?);
        }
        if branches.len() == 1 { branches.pop() } else { Some(Expression::Either(branches)) }
    }

    fn sequence(&mut self) -> Option<Expression> {
        let mut parts = Vec::new();
        while !matches!(self.rest.first(), None | Some(b'|' | b')')) {
            let atom = self.atom()?;
            parts.push(self.repeated(atom)?);
        }
        Some(Expression::Sequence(parts))
    }

    fn repeated(&mut self, atom: Expression) -> Option<Expression> {
        let (least, most) = match self.rest.first() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.next();
                let bounds = self.bounds()?;
                return Some(Expression::Repeat(Box::new(atom), bounds.0, bounds.1));
            }
            _ => return Some(atom),
        };
        self.next();
        Some(Expression::Repeat(Box::new(atom), least, most))
    }

    /// `m}`, `m,}` or `m,n}`.
    fn bounds(&mut self) -> Option<(u8, Option<u8>)> {
        let least = self.number()?;
        let most = if self.skip(b",") {
            if self.skip(b"}") {
                return Some((least, None));
            }
            self.number()?
        } else {
            least
        };
        (self.skip(b"}") && least <= most).then_some((least, Some(most)))
    }

    fn number(&mut self) -> Option<u8> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        core::str::from_utf8(number).ok()?.parse().ok()
    }

    fn atom(&mut self) -> Option<Expression> {
        if self.skip(b"$USER") {
            return Some(Expression::User);
        }
        if self.skip(b"$DOMAIN") {
            return Some(Expression::Domain);
        }
        match self.next()? {
            b'.' => Some(Expression::Any),
            b'[' => self.set(),
            b'\\' => self.next().map(Expression::Byte),
            b'(' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return None;
                }
                let inner = self.either()?;
                self.depth -= 1;
                self.skip(b")").then_some(inner)
            }
            b'*' | b'+' | b'?' | b'{' | b'^' | b'$' => None,
            byte => Some(Expression::Byte(byte)),
        }
    }

    fn set(&mut self) -> Option<Expression> {
        type Class = (&'static [u8], &'static [(u8, u8)]);
        const CLASSES: [Class; 5] = [
            (b"[:alnum:]", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
            (b"[:alpha:]", &[(b'A', b'Z'), (b'a', b'z')]),
            (b"[:digit:]", &[(b'0', b'9')]),
            (b"[:lower:]", &[(b'a', b'z')]),
            (b"[:upper:]", &[(b'A', b'Z')]),
        ];
        let not = self.skip(b"^");
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        // A closing bracket right at the beginning stands for itself.
        while ranges.is_empty() || self.rest.first() != Some(&b']') {
            if let Some((_, class)) = CLASSES.iter().find(|(name, _)| self.skip(name)) {
                ranges.extend_from_slice(class);
                continue;
            }
            let first = self.next()?;
            match self.rest {
                [b'-', last, ..] if *last != b']' => {
                    let last = *last;
                    self.next();
                    self.next();
                    ranges.push((first, last));
                }
                _ => ranges.push((first, first)),
            }
        }
        self.next();
        Some(Expression::Set(ranges, not))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, user: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(user, name.as_bytes())
    }

    #[test]
    fn ac8_the_pattern_of_rfc_8076_lets_bob_name_his_conferences() {
        let p = ".*-conf-$USER@$DOMAIN";
        assert!(matches(p, "bob@example.org", "friday-conf-bob@example.org"));
        assert!(!matches(p, "eve@example.org", "friday-conf-bob@example.org"), "bob's, not eve's");
        assert!(!matches(p, "bob@example.org", "friday-conf-bob@example.org.evil"), "the whole name");
        assert!(!matches(p, "b.b@example.org", "friday-conf-bob@example.org"), "a name is no expression");
        assert!(!matches(p, "bob", "friday-conf-bob@"), "a user name has a domain");
    }

    #[test]
    fn ac8_expressions_are_understood_as_posix_means_them() {
        for (expression, good, bad) in [
            ("[a-c0-9]+", "b7", "d"),
            ("[^x]", "y", "x"),
            ("[[:digit:]_]{2,3}", "1_2", "1"),
            ("(news|sport)?", "sport", "sports"),
            ("(a|b)*c", "abbac", "abba"),
            ("a{2}", "aa", "aaa"),
            ("a{1,}", "aaaa", ""),
            ("\\.", ".", "x"),
            ("[]a]", "]", "b"),
        ] {
            let pattern = alloc::format!("^{expression}-$USER@$DOMAIN$");
            let name = |first: &str| alloc::format!("{first}-u@d");
            assert!(matches(&pattern, "u@d", &name(good)), "{expression} {good}");
            assert!(!matches(&pattern, "u@d", &name(bad)), "{expression} {bad}");
        }
    }

    #[test]
    fn ac8_a_pattern_without_both_variables_or_without_a_delimiter_is_refused() {
        for bad in [
            ".*-conf-$USER",
            "conf-$DOMAIN",
            ".*$USER@$DOMAIN",
            "$USER.*@$DOMAIN",
            "(a-$USER)@$DOMAIN",
            "a-$USER@$DOMAIN(",
            "a-$USER@$DOMAIN)",
            "*-$USER@$DOMAIN",
            "[a-$USER@$DOMAIN",
            "a{3,2}-$USER@$DOMAIN",
        ] {
            assert_eq!(Pattern::new(bad), None, "{bad}");
        }
        let (deep, long) = ("(".repeat(200), "a".repeat(300));
        assert_eq!(Pattern::new(&alloc::format!("{deep}-$USER@$DOMAIN")), None);
        assert_eq!(Pattern::new(&alloc::format!("{long}-$USER@$DOMAIN")), None);
    }

    #[test]
    fn k7_an_expression_that_explodes_elsewhere_takes_its_time_and_no_more() {
        let pattern = "(a*)*(a*)*(a*)*b-$USER@$DOMAIN";
        assert!(!matches(pattern, "u@d", &"a".repeat(254)));
        let blown_up = Pattern::new("(((a{99}){99}){99}){99}-$USER@$DOMAIN").unwrap();
        assert!(!blown_up.matches("u@d", b"a-u@d"), "too large an expression matches nothing");
        let nothing = Pattern::new("(((((){99}){99}){99}){99}){99}-$USER@$DOMAIN").unwrap();
        assert!(!nothing.matches("u@d", b"-u@d"), "nothing, a billion times");
        let nested = |n| Pattern::new(&format!("{}a{}-$USER@$DOMAIN", "(".repeat(n), ")".repeat(n)));
        assert!(nested(MAX_DEPTH).is_some() && nested(MAX_DEPTH + 1).is_none());
    }
}
