//! The live picture: the tree as a tree, redrawn in place on a terminal, now and then as plain lines elsewhere.

use p2piptv::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// One viewer as it is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Whose child it is; `None` while it looks for a parent.
    pub parent: Option<String>,
    /// Hops from the source.
    pub depth: Option<u8>,
    /// Different packets that came.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// What else there is to say: "relays", "in a rescue slot".
    pub note: String,
}

/// Everything that is drawn at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// What stands above.
    pub title: String,
    /// The name of the root.
    pub root: String,
    /// What the root sends, in bytes a second.
    pub root_bytes_per_second: u64,
    /// The viewers, in the order of their joining.
    pub branches: Vec<Branch>,
    /// What happened last, oldest first.
    pub news: Vec<String>,
}

impl Picture {
    /// As lines of text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.title.clone(),
            String::new(),
            format!("{}   sends {} kB/s", self.root, self.root_bytes_per_second / 1000),
        ];
        let mut children: BTreeMap<&str, Vec<&Branch>> = BTreeMap::new();
        for branch in &self.branches {
            children.entry(branch.parent.as_deref().unwrap_or("")).or_default().push(branch);
        }
        draw(&mut children, &self.root, "", &mut lines);
        // Whoever was not reached hangs on nobody, or on somebody who does: no loop can hide a viewer.
        let lost: Vec<_> = children.into_values().flatten().map(|b| b.name.as_str()).collect();
        if !lost.is_empty() {
            lines.push(format!("without a way to the source: {}", lost.join(", ")));
        }
        lines.push(String::new());
        lines.extend(self.news.iter().cloned());
        lines
    }
}

/// Draws the children of a node, and takes them out of the map.
fn draw(children: &mut BTreeMap<&str, Vec<&Branch>>, parent: &str, indent: &str, lines: &mut Vec<String>) {
    let own = children.remove(parent).unwrap_or_default();
    for (i, branch) in own.iter().enumerate() {
        let last = i + 1 == own.len();
        let (fork, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let mut line = format!("{indent}{fork}{}", branch.name);
        let padding = 24usize.saturating_sub(line.chars().count());
        let depth = branch.depth.map_or("-".into(), |d| d.to_string());
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "{:padding$} depth {depth:>2} {:>9} packets {:>6} lost",
            "", branch.received, branch.lost
        );
        if !branch.note.is_empty() {
            let _ = write!(line, "   {}", branch.note);
        }
        lines.push(line);
        draw(children, &branch.name, &format!("{indent}{below}"), lines);
    }
}

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often the tree is printed where nothing can be redrawn.
const REPRINT: Duration = Duration::from_secs(5);

/// Where pictures are shown.
pub struct Screen<W> {
    out: W,
    is_terminal: bool,
    /// Lines on the terminal that the next picture replaces.
    drawn: usize,
    next: Instant,
}

impl Screen<io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Self {
        Screen::new(io::stdout(), io::stdout().is_terminal())
    }
}

impl<W: Write> Screen<W> {
    /// A terminal, which can be redrawn, or something else.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Screen { out, is_terminal, drawn: 0, next: Instant::ZERO }
    }

    /// Shows a picture, if it is time.
    pub fn show(&mut self, now: Instant, picture: &Picture) -> io::Result<()> {
        if now < self.next {
            return Ok(());
        }
        if !self.is_terminal {
            self.next = now + REPRINT;
            // News were printed when they came.
            let lines = Picture { news: Vec::new(), ..picture.clone() }.lines();
            return writeln!(self.out, "{}", lines.join("\n"));
        }
        self.next = now + REDRAW;
        let lines = picture.lines();
        self.rewind()?;
        for line in &lines {
            writeln!(self.out, "{line}\x1b[K")?;
        }
        // What an earlier, longer picture left.
        write!(self.out, "\x1b[J")?;
        self.drawn = lines.len();
        self.out.flush()
    }

    /// Something happened. A terminal shows it with the next picture.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        if self.is_terminal {
            return Ok(());
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// Prints what is to stay, below the last picture.
    pub fn close(&mut self, text: &str) -> io::Result<()> {
        self.drawn = 0;
        writeln!(self.out, "\n{text}")?;
        self.out.flush()
    }

    fn rewind(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            write!(self.out, "\x1b[{}A", self.drawn)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(name: &str, parent: Option<&str>, depth: u8) -> Branch {
        let note = if name == "1" { "relays".into() } else { String::new() };
        let parent = parent.map(Into::into);
        Branch { name: name.into(), parent, depth: Some(depth), received: 1000, lost: 0, note }
    }

    fn picture() -> Picture {
        Picture {
            title: "channel 100".into(),
            root: "source".into(),
            root_bytes_per_second: 201_500,
            branches: vec![
                branch("1", Some("source"), 1),
                branch("2", Some("source"), 1),
                branch("3", Some("1"), 2),
                branch("4", Some("1"), 2),
                branch("5", Some("2"), 2),
            ],
            news: vec!["1 was elected".into()],
        }
    }

    #[test]
    fn the_tree_of_the_papers_table_1_looks_like_a_tree() {
        assert_eq!(
            picture().lines(),
            [
                "channel 100",
                "",
                "source   sends 201 kB/s",
                "├─ 1                     depth  1      1000 packets      0 lost   relays",
                "│  ├─ 3                  depth  2      1000 packets      0 lost",
                "│  └─ 4                  depth  2      1000 packets      0 lost",
                "└─ 2                     depth  1      1000 packets      0 lost",
                "   └─ 5                  depth  2      1000 packets      0 lost",
                "",
                "1 was elected",
            ]
        );
    }

    #[test]
    fn orphans_their_subtrees_and_loops_are_named_once() {
        let mut picture = picture();
        picture.branches[0].parent = None;
        picture.branches.extend([branch("6", Some("7"), 3), branch("7", Some("6"), 3)]);
        let lines = picture.lines();
        let strays = lines.iter().find_map(|l| l.strip_prefix("without a way to the source: "));
        let mut strays: Vec<_> = strays.expect("named").split(", ").collect();
        strays.sort();
        assert_eq!(strays, ["1", "3", "4", "6", "7"]);
    }

    #[test]
    fn a_terminal_is_redrawn_in_place_and_anything_else_is_appended_to() {
        let shown = |is_terminal| {
            let mut out = Vec::new();
            let mut screen = Screen::new(&mut out, is_terminal);
            for ms in [0, 100, 200, 5000] {
                screen.show(Instant::from_millis(ms), &picture()).expect("written");
            }
            String::from_utf8(out).expect("text")
        };
        let terminal = shown(true);
        assert_eq!(terminal.matches("channel 100").count(), 3, "at 0, 200 and 5000 ms");
        assert_eq!(terminal.matches("\x1b[10A").count(), 2);
        let plain = shown(false);
        assert_eq!(plain.matches("channel 100").count(), 2, "at 0 and 5000 ms");
        assert!(!plain.contains('\x1b') && !plain.contains("elected"));
    }
}
