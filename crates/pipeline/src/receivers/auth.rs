//! Who may send.

use http::HeaderMap;

/// Looks at a request's headers before its body is read.
pub trait Authenticator: Send + Sync + 'static {
    /// What is known of the sender, such as `subject`.
    ///
    /// # Errors
    ///
    /// Why he may not send, in words that give no secret away.
    fn check(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String>;
}
