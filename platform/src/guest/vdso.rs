//! A guest process whose clocks are not the host's: its vDSO is made to ask.

use abi::nr;

/// `mov $nr, %eax; syscall; ret`: short enough for any function.
pub(super) const ASK: [u8; 8] = {
    let [a, b, c, d] = nr::CLOCK_GETTIME.to_le_bytes();
    [0xb8, a, b, c, d, 0x0f, 0x05, 0xc3]
};

const NAME: &[u8] = b"__vdso_clock_gettime\0";
/// Sizes and fields of 64-bit ELF (`elf(5)`).
const SECTION: u64 = 64;
const SYMBOL: u64 = 24;
const SHT_DYNSYM: u32 = 11;

/// Where in a vDSO's image the function of that name begins. The image may have passed through a guest's hands.
pub(super) fn clock_gettime(image: &[u8]) -> Option<u64> {
    let image = Image(image);
    let sections = image.u64(40)?;
    let section = |i: u16| sections.checked_add(u64::from(i).checked_mul(SECTION)?);
    let dynsym = (0..image.u16(60)?)
        .filter_map(section)
        .find(|at| image.u32(at.saturating_add(4)) == Some(SHT_DYNSYM))?;
    let (start, size) = (image.u64(dynsym.checked_add(24)?)?, image.u64(dynsym.checked_add(32)?)?);
    let strings = section(u16::try_from(image.u32(dynsym.checked_add(40)?)?).ok()?)?;
    let strings = image.u64(strings.checked_add(24)?)?;
    let mut symbols = (0..size / SYMBOL)
        .map_while(|i| start.checked_add(i.checked_mul(SYMBOL)?))
        .take_while(|at| image.u32(*at).is_some());
    let named = |at: &u64| {
        let name = image.u32(*at).and_then(|name| strings.checked_add(u64::from(name)));
        name.and_then(|name| image.from(name))
            .is_some_and(|rest| rest.starts_with(NAME))
    };
    let function = image.u64(symbols.find(named)?.checked_add(8)?)?;
    // All of what is put there lies in the image.
    image.from(function)?.get(..ASK.len())?;
    Some(function)
}

struct Image<'a>(&'a [u8]);

impl Image<'_> {
    fn from(&self, at: u64) -> Option<&[u8]> {
        self.0.get(usize::try_from(at).ok()?..)
    }

    fn u16(&self, at: u64) -> Option<u16> {
        Some(u16::from_le_bytes(*self.from(at)?.first_chunk()?))
    }

    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(*self.from(at)?.first_chunk()?))
    }

    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.from(at)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::clock_gettime;

    #[test]
    fn damaged_images_have_no_function() {
        assert_eq!(clock_gettime(&[]), None);
        assert_eq!(clock_gettime(&[0; 4096]), None);
        assert_eq!(clock_gettime(&[0xff; 4096]), None);
    }
}
