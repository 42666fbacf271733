//! Which instructions compute: the best that this CPU has, or those that `SIMSEG_CPU` names.
//!
//! | `SIMSEG_CPU` | matrix products | loops (`simd!`, `wide`) |
//! |---|---|---|
//! | `avx512` | the kernel for AVX-512; in bf16 or int8 those of AVX-512-BF16 and -VNNI, if the CPU has them and `--precision` asks | AVX2 and FMA |
//! | `avx2` | the kernel for AVX2 and FMA | AVX2 and FMA |
//! | `plain` | matrixmultiply, which looks for instructions itself | any x86-64, or whatever CPU the build is for |
//!
//! The first two give the same bits in f32 and f64; `plain` adds up products in another order. The variable is read once, at the first use. A name
//! that is none of these, or instructions that this CPU lacks, are an error for who asks ([`Path::checked`], as the command line
//! does); who does not ask gets one line on stderr and what would have been chosen without the variable.

use std::sync::OnceLock;

/// The variable's name.
pub const VARIABLE: &str = "SIMSEG_CPU";

/// A set of instructions, from the least on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// None but those that every CPU has that the build is for.
    Plain,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, besides AVX2 and FMA.
    Avx512,
}

impl Path {
    /// All, from the least on.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Avx2, Self::Avx512];

    /// As the variable spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this CPU has the instructions.
    pub fn is_available(self) -> bool {
        self <= best()
    }

    /// What computes in this process.
    pub fn current() -> Self {
        static CURRENT: OnceLock<Path> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            Self::checked().unwrap_or_else(|problem| {
                eprintln!("simseg: {VARIABLE}: {problem}; using {}", best().name());
                best()
            })
        })
    }

    /// What the variable asks for, or else the best that this CPU has.
    ///
    /// # Errors
    /// What was expected instead of the variable's value.
    pub fn checked() -> Result<Self, String> {
        match std::env::var_os(VARIABLE) {
            Some(value) => Self::parse(&value.to_string_lossy(), best()),
            None => Ok(best()),
        }
    }

    /// A value of the variable on a CPU whose best is known.
    fn parse(value: &str, best: Self) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|path| path.name() == value);
        let path = *known.ok_or_else(|| format!("expected avx512, avx2 or plain, found `{value}`"))?;
        if path > best {
            return Err(format!("this CPU has no {value}; the best it has is {}", best.name()));
        }
        Ok(path)
    }
}

/// The most that this CPU has.
fn best() -> Path {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if is_x86_feature_detected!("avx512f") { Path::Avx512 } else { Path::Avx2 };
        }
    }
    Path::Plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_a_path_that_this_cpu_has() {
        assert_eq!(Path::parse("plain", Path::Plain), Ok(Path::Plain));
        assert_eq!(Path::parse("avx2", Path::Avx512), Ok(Path::Avx2));
        assert!(Path::parse("avx512", Path::Avx2).unwrap_err().contains("the best it has is avx2"));
        assert!(Path::parse("AVX2", Path::Avx512).unwrap_err().contains("`AVX2`"));
        assert!(Path::Plain.is_available());
    }
}
