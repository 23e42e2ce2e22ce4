use abi::termios::{ECHO, ICANON, ISIG};

use super::Ldisc;
use crate::signal::Signal;

fn output(l: &mut Ldisc) -> String {
    String::from_utf8(l.output.drain(..).collect()).expect("text")
}

fn read(l: &mut Ldisc, max: usize) -> Option<String> {
    l.read(max).map(|b| String::from_utf8(b).expect("text"))
}

#[test]
fn lines_are_given_whole_and_echoed() {
    let mut l = Ldisc::default();
    l.receive(b"hello");
    assert_eq!(read(&mut l, 100), None);
    l.receive(b"\rnext\n");
    assert_eq!(read(&mut l, 100).as_deref(), Some("hello\n"));
    assert_eq!(read(&mut l, 3).as_deref(), Some("nex"));
    assert_eq!(read(&mut l, 100).as_deref(), Some("t\n"));
    assert_eq!(read(&mut l, 100), None);
    assert_eq!(output(&mut l), "hello\r\nnext\r\n");
}

#[test]
fn editing_characters_edit() {
    let mut l = Ldisc::default();
    l.receive(b"abx\x7fc d e\x17\x17q\n");
    assert_eq!(read(&mut l, 100).as_deref(), Some("abc q\n"));
    output(&mut l);
    l.receive(b"gone\x15kept\n");
    assert_eq!(read(&mut l, 100).as_deref(), Some("kept\n"));
    assert_eq!(output(&mut l), "gone\x08 \x08\x08 \x08\x08 \x08\x08 \x08kept\r\n");
}

#[test]
fn a_tab_is_erased_by_its_width() {
    let mut l = Ldisc::default();
    l.receive(b"ab\t\x7f");
    assert_eq!(output(&mut l), format!("ab\t{}", "\x08".repeat(6)));
}

#[test]
fn end_of_file_gives_what_there_is_and_then_nothing() {
    let mut l = Ldisc::default();
    l.receive(b"part\x04");
    assert_eq!(read(&mut l, 100).as_deref(), Some("part"));
    l.receive(b"\x04");
    assert_eq!(read(&mut l, 100).as_deref(), Some(""));
    // Read exactly up to it, it does not come again as an empty read.
    l.receive(b"four\x04");
    assert_eq!(read(&mut l, 4).as_deref(), Some("four"));
    assert_eq!(read(&mut l, 4), None);
}

#[test]
fn signals_come_out_and_drop_the_line() {
    let mut l = Ldisc::default();
    let (n, signals) = l.receive(b"junk\x03");
    assert_eq!((n, signals), (5, vec![Signal::SIGINT]));
    assert_eq!(output(&mut l), "^C");
    l.receive(b"ok\n");
    assert_eq!(read(&mut l, 100).as_deref(), Some("ok\n"));
    assert_eq!(l.receive(b"\x1c\x1a").1, vec![Signal::SIGQUIT, Signal::SIGTSTP]);
}

#[test]
fn raw_mode_gives_bytes_and_takes_no_more_than_it_holds() {
    let mut l = Ldisc::default();
    let mut t = l.termios;
    t.lflag &= !(ICANON | ECHO | ISIG);
    l.set_termios(t);
    assert_eq!(l.receive(b"a\x03").0, 2);
    assert_eq!(l.read(10), Some(vec![b'a', 3]));
    let (n, _) = l.receive(&[b'x'; 5000]);
    assert_eq!(n, 4095);
    assert!(!l.has_room());
    assert_eq!(l.read(8000).map(|d| d.len()), Some(4095));
}

#[test]
fn a_literal_next_character_is_taken_as_it_is() {
    let mut l = Ldisc::default();
    assert_eq!(l.receive(b"\x16\x03\n").1, Vec::new());
    assert_eq!(read(&mut l, 10).as_deref(), Some("\x03\n"));
    assert_eq!(output(&mut l), "^\x08^C\r\n");
}

#[test]
fn stop_and_start_hold_output() {
    let mut l = Ldisc::default();
    l.receive(b"\x13");
    assert_eq!(l.write(b"x"), 0);
    l.receive(b"\x11");
    assert_eq!(l.write(b"x\n"), 2);
    assert_eq!(output(&mut l), "x\r\n");
}
