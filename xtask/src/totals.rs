//! The last line: what all test runners counted, added up.

/// Counts of all test runners.
#[derive(Debug, Default, PartialEq)]
pub struct Totals {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were ignored.
    pub skipped: u64,
}

impl Totals {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`; others say nothing.
    pub fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        let count = |word| {
            let number = counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok());
            number.unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.skipped += count("ignored");
    }

    /// The line that ends a run.
    pub fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runners_add_up_and_other_lines_do_not_count() {
        let mut totals = Totals::default();
        for line in [
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test softmax_rows_sum_to_one ... ok",
            "test result: FAILED. 40 passed; 3 failed; 20 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            "7 passed; 7 failed; 7 ignored",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 45, failed: 3, skipped: 21 });
        assert_eq!(totals.line(), "45 passed, 3 failed, 21 skipped");
    }
}
