//! Resources and scopes, and the spans below them.

use super::message::{Message, content};
use super::{DecodeError, Decoder};
use crate::batch::{Resource, Scope, Text};

impl<'a> Decoder<'a> {
    pub(super) fn resource_spans(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let index = self.batch.resources.len() as u32;
        let first_span = self.batch.spans.len();
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
                    resource.message = self.joined(resource.message, bytes);
                    self.resource(bytes, &mut resource)?;
                    fault = fault.or(self.fault.take());
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
        self.batch.resources[index as usize] = resource;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    /// A message that came in several fields is their concatenation (protobuf, "Last One Wins").
    fn joined(&mut self, before: Text, bytes: &[u8]) -> Text {
        if before.is_empty() {
            return self.range(bytes);
        }
        let base = self.all.len() as u32;
        let start = self.batch.arena.len();
        if before.offset >= base {
            let from = (before.offset - base) as usize;
            self.batch.arena.extend_from_within(from..from + before.len());
        } else {
            let from = before.offset as usize;
            self.batch.arena.extend_from_slice(&self.all[from..from + before.len()]);
        }
        self.batch.arena.extend_from_slice(bytes);
        Text { offset: base + start as u32, length: (self.batch.arena.len() - start) as u32 }
    }

    fn resource(&mut self, bytes: &'a [u8], resource: &mut Resource) -> Result<(), DecodeError> {
        let start = self.continue_attributes(resource.attributes);
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
        resource.attributes = self.attributes_since(start);
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
        self.batch.scopes.push(Scope::default());
        self.bound()?;
        let mut scope = Scope { resource, ..Scope::default() };
        let mut fault = None;
        let mut message = Message::new("ScopeSpans", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    scope.message = self.joined(scope.message, bytes);
                    self.scope(bytes, &mut scope)?;
                    fault = fault.or(self.fault.take());
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
        self.batch.scopes[index as usize] = scope;
        self.leave_out_from(first_span, fault);
        Ok(())
    }

    fn scope(&mut self, bytes: &'a [u8], scope: &mut Scope) -> Result<(), DecodeError> {
        let start = self.continue_attributes(scope.attributes);
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
        scope.attributes = self.attributes_since(start);
        Ok(())
    }
}
