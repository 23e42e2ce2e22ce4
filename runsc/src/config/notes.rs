//! What is told about a configuration that is accepted.

/// As many as anybody reads.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub struct Notes {
    /// What was asked for and is not given: said on standard error too, where no log was named.
    pub left_out: Vec<String>,
    /// What changes nothing for the container: for the log.
    pub remarks: Vec<String>,
}

impl Notes {
    pub fn push(&mut self, note: String) {
        if self.left_out.len() < MOST {
            self.left_out.push(note);
        }
    }

    pub fn remark(&mut self, note: String) {
        if self.remarks.len() < MOST {
            self.remarks.push(note);
        }
    }
}
