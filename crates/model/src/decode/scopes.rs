//! Resources and scopes, and the spans below them.

use super::message::{Message, content};
use super::{DecodeError, Decoder, SHARED_RESOURCE_BYTES_MAX};
use crate::batch::{Resource, Scope, Text};

impl<'a> Decoder<'a> {
    pub(super) fn resource_spans(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let index = self.batch.resources.len() as u32;
        let first_span = self.batch.spans.len();
        let first_scope = self.batch.scopes.len();
        let first_part = self.parts.len();
        self.batch.resources.push(Resource::default());
        self.bound()?;
        let mut resource = Resource::default();
        self.fault = None;
        let mut fault = None;
        let mut message = Message::new("ResourceSpans", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.parts.push(bytes);
                    self.bound()?;
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.scope_spans(bytes, index)?;
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    resource.schema_url = self.utf8(bytes, "resource schema URL");
                    fault = fault.or(self.fault.take());
                }
                _ => {}
            }
        }
        self.fault = None;
        let parts = self.parts.split_off(first_part);
        let start = self.batch.attributes.len();
        for bytes in &parts {
            self.resource(bytes, &mut resource)?;
        }
        resource.attributes = self.attributes_since(start);
        resource.message = self.joined(&parts)?;
        let sharing = (self.batch.scopes.len() - first_scope).saturating_sub(1);
        self.shared_resource_bytes += sharing.saturating_mul(resource.message.len());
        if self.shared_resource_bytes > SHARED_RESOURCE_BYTES_MAX {
            return Err(DecodeError::TooManyScopes);
        }
        fault = fault.or(self.fault.take());
        self.batch.resources[index as usize] = resource;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    /// A message that came in several fields is their concatenation (protobuf, "Last One Wins").
    /// Joined once, at the end, so that many parts cost no more than their bytes.
    fn joined(&mut self, parts: &[&'a [u8]]) -> Result<Text, DecodeError> {
        let [first, more @ ..] = parts else { return Ok(Text::EMPTY) };
        if more.is_empty() {
            return Ok(self.range(first));
        }
        let start = self.batch.arena.len();
        parts.iter().for_each(|part| self.batch.arena.extend_from_slice(part));
        let end = self.all.len() + self.batch.arena.len();
        match u32::try_from(end) {
            Ok(end) => {
                let offset = (self.all.len() + start) as u32;
                Ok(Text { offset, length: end - offset })
            }
            Err(_) => Err(DecodeError::TooLarge(end)),
        }
    }

    fn resource(&mut self, bytes: &'a [u8], resource: &mut Resource) -> Result<(), DecodeError> {
        let mut message = Message::new("Resource", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.attribute(bytes, "resource attribute")?;
                }
                2 => {
                    resource.dropped_attributes_count =
                        content!(message, number, field, Varint) as u32;
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.check_entity_ref(bytes)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Kept as part of the resource's message, which everything that writes it may trust.
    fn check_entity_ref(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut message = Message::new("EntityRef", bytes);
        while let Some((number, field)) = message.next()? {
            if let 1..=4 = number {
                let bytes = content!(message, number, field, Bytes);
                self.utf8(bytes, "resource entity");
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &'a [u8], resource: u32) -> Result<(), DecodeError> {
        let index = self.batch.scopes.len() as u32;
        let first_span = self.batch.spans.len();
        let first_part = self.parts.len();
        self.batch.scopes.push(Scope::default());
        self.bound()?;
        let mut scope = Scope { resource, ..Scope::default() };
        let mut fault = None;
        let mut message = Message::new("ScopeSpans", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.parts.push(bytes);
                    self.bound()?;
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.span(bytes, index)?;
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    scope.schema_url = self.utf8(bytes, "scope schema URL");
                    fault = fault.or(self.fault.take());
                }
                _ => {}
            }
        }
        self.fault = None;
        let parts = self.parts.split_off(first_part);
        let start = self.batch.attributes.len();
        for bytes in &parts {
            self.scope(bytes, &mut scope)?;
        }
        scope.attributes = self.attributes_since(start);
        scope.message = self.joined(&parts)?;
        fault = fault.or(self.fault.take());
        self.batch.scopes[index as usize] = scope;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    fn scope(&mut self, bytes: &'a [u8], scope: &mut Scope) -> Result<(), DecodeError> {
        let mut message = Message::new("InstrumentationScope", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    scope.name = self.utf8(bytes, "scope name");
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    scope.version = self.utf8(bytes, "scope version");
                }
                3 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.attribute(bytes, "scope attribute")?;
                }
                4 => {
                    scope.dropped_attributes_count =
                        content!(message, number, field, Varint) as u32;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
