//! Floating-point images in signal frames (`struct _xstate`, standard format).

use abi::Errno;
use abi::errno::Result;

use crate::host::vm;

const LEGACY: usize = 512;
const HEADER: usize = 64;
/// `struct _fpx_sw_bytes` in the reserved part of the legacy area.
const SW_BYTES: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MXCSR: usize = 24;
const MXCSR_DEFAULT: u32 = 0x1f80;
const FCW_DEFAULT: u16 = 0x37f;
/// x87 and SSE, which the legacy area holds.
const LEGACY_FEATURES: u64 = 3;

/// Tile configuration and data of AMX.
const BY_PERMISSION: u64 = 1 << 17 | 1 << 18;

/// What the host's images look like; learnt from the zygote's, before any guest code ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    xfeatures: u64,
    /// Bytes without the second magic word.
    xstate_size: usize,
    mxcsr_mask: u32,
}

impl Layout {
    /// Reads the image of a process that has run no guest code.
    pub(crate) fn learn(pid: i32, addr: u64) -> Option<Layout> {
        let mut legacy = [0u8; LEGACY];
        if vm::read(pid, addr, &mut legacy) != LEGACY {
            return None;
        }
        let mask = match get32(&legacy, 28)? {
            0 => 0xffbf,
            mask => mask,
        };
        if get32(&legacy, SW_BYTES)? != MAGIC1 {
            return Some(Layout {
                xfeatures: LEGACY_FEATURES,
                xstate_size: LEGACY,
                mxcsr_mask: mask,
            });
        }
        let xstate_size = usize::try_from(get32(&legacy, SW_BYTES + 16)?).ok()?;
        let valid = (LEGACY + HEADER..=16 << 10).contains(&xstate_size);
        valid.then_some(Layout {
            xfeatures: get64(&legacy, SW_BYTES + 8)?,
            xstate_size,
            mxcsr_mask: mask,
        })
    }

    /// From the image that `NT_X86_XSTATE` of `ptrace(2)` gives of such a process. It has the features that the host knows where a
    /// frame has the magic word, and may be longer: features that need a permission are not in a frame.
    pub(crate) fn from_regset(image: &[u8]) -> Option<Layout> {
        let mask = match get32(image, 28)? {
            0 => 0xffbf,
            mask => mask,
        };
        let xfeatures = get64(image, SW_BYTES)? & !BY_PERMISSION;
        let end_of = |feature: u32| {
            let leaf = std::arch::x86_64::__cpuid_count(0xd, feature);
            usize::try_from(leaf.eax.saturating_add(leaf.ebx)).unwrap_or(0)
        };
        let extended = (2..63).filter(|n| xfeatures & (1 << n) != 0);
        let xstate_size = extended.map(end_of).fold(LEGACY + HEADER, usize::max);
        (xstate_size <= image.len()).then_some(Layout {
            xfeatures,
            xstate_size,
            mxcsr_mask: mask,
        })
    }

    /// A frame's image from a regset.
    pub(crate) fn frame_of(&self, regset: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; self.len()];
        let common = self.xstate_size.min(regset.len());
        put(&mut image, 0, regset.get(..common).unwrap_or_default());
        self.stamp(&mut image);
        image
    }

    /// A regset of that length from a checked image, or from [`Layout::initial`].
    pub(crate) fn regset_of(&self, image: &[u8], len: usize) -> Vec<u8> {
        let mut regset = vec![0u8; len];
        let common = self.xstate_size.min(len).min(image.len());
        put(&mut regset, 0, image.get(..common).unwrap_or_default());
        regset
    }

    /// The processor's initial state, spelt out: the legacy part counts whatever its bits say.
    pub(crate) fn initial_regset(&self, len: usize) -> Vec<u8> {
        let mut regset = self.regset_of(&self.initial(), len);
        put(&mut regset, LEGACY, &LEGACY_FEATURES.to_le_bytes());
        regset
    }

    fn extended(&self) -> bool {
        self.xstate_size > LEGACY
    }

    /// Bytes of an image.
    fn len(&self) -> usize {
        self.xstate_size + if self.extended() { 4 } else { 0 }
    }

    /// The processor's initial state.
    pub(crate) fn initial(&self) -> Vec<u8> {
        let mut image = vec![0u8; self.len()];
        put(&mut image, 0, &FCW_DEFAULT.to_le_bytes());
        put(&mut image, MXCSR, &MXCSR_DEFAULT.to_le_bytes());
        self.stamp(&mut image);
        image
    }

    /// Reads a stopped thread's image.
    pub(crate) fn read(&self, read: impl FnOnce(&mut [u8]) -> usize) -> Result<Vec<u8>> {
        let mut image = vec![0u8; self.len()];
        if read(&mut image) != image.len() {
            return Err(Errno::EFAULT);
        }
        self.stamp(&mut image);
        Ok(image)
    }

    /// Writes the kernel's own words about the format, whatever was there.
    fn stamp(&self, image: &mut [u8]) {
        if !self.extended() {
            return;
        }
        let (total, size) = (
            u32::try_from(self.len()).unwrap_or(0),
            u32::try_from(self.xstate_size).unwrap_or(0),
        );
        put(image, SW_BYTES, &MAGIC1.to_le_bytes());
        put(image, SW_BYTES + 4, &total.to_le_bytes());
        put(image, SW_BYTES + 8, &self.xfeatures.to_le_bytes());
        put(image, SW_BYTES + 16, &size.to_le_bytes());
        put(image, self.xstate_size, &MAGIC2.to_le_bytes());
    }

    /// Checks an image that somebody else made, so that the processor takes it; completes one without extended state.
    pub(crate) fn check(&self, image: &[u8]) -> Result<Vec<u8>> {
        if image.len() < LEGACY || get32(image, MXCSR).is_none_or(|mxcsr| mxcsr & !self.mxcsr_mask != 0) {
            return Err(Errno::EINVAL);
        }
        let mut out = vec![0u8; self.len()];
        if !self.extended() {
            put(&mut out, 0, image.get(..LEGACY).unwrap_or_default());
            return Ok(out);
        }
        if get32(image, SW_BYTES) != Some(MAGIC1) {
            // As the kernel takes it: x87 and SSE from the image, everything else initial.
            put(&mut out, 0, image.get(..LEGACY).unwrap_or_default());
            put(&mut out, LEGACY, &LEGACY_FEATURES.to_le_bytes());
            self.stamp(&mut out);
            return Ok(out);
        }
        if image.len() != self.len() || get32(image, self.xstate_size) != Some(MAGIC2) {
            return Err(Errno::EINVAL);
        }
        let features = get64(image, LEGACY).ok_or(Errno::EINVAL)?;
        let rest_of_header = image.get(LEGACY + 8..LEGACY + HEADER).ok_or(Errno::EINVAL)?;
        if features & !self.xfeatures != 0 || rest_of_header.iter().any(|b| *b != 0) {
            return Err(Errno::EINVAL);
        }
        out.copy_from_slice(image);
        self.stamp(&mut out);
        Ok(out)
    }
}

fn get32(image: &[u8], at: usize) -> Option<u32> {
    image.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn get64(image: &[u8], at: usize) -> Option<u64> {
    image.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = image.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
