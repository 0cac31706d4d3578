//! Messages that an encoder has written, one behind the other.

/// Messages in one buffer. A message can be null, which is not the same as empty.
#[derive(Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Where each message ends in `bytes`.
    ends: Vec<usize>,
    /// Which messages are null, in increasing order.
    nulls: Vec<usize>,
}

impl Messages {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Size of all messages together, in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The message at this position. `None`: it is null, or there is none.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        if !self.nulls.is_empty() && self.nulls.binary_search(&index).is_ok() {
            return None;
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// All messages in order. `None` is a null.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Removes all messages. The memory is kept for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls.clear();
    }

    /// The buffer to which an encoder appends the next message, before [`Self::end_message`].
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the message whose bytes were appended to the buffer.
    pub(crate) fn end_message(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Appends a null.
    pub(crate) fn push_null(&mut self) {
        self.nulls.push(self.ends.len());
        self.end_message();
    }

    /// The buffer, and the ends of messages in it.
    pub(crate) fn parts(&mut self) -> (&mut Vec<u8>, &mut Vec<usize>) {
        (&mut self.bytes, &mut self.ends)
    }
}
