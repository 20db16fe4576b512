//! The way from an index to the manifest of the image that Reprise can run.

use std::collections::BTreeSet;

use super::config::platform_name;
use super::document::{Descriptor, is_called, list};
use crate::error::ImageError;
use crate::limits::Limits;

/// Goes through indexes in order, those first that say they are for us.
pub(super) struct Selection {
    reference: Option<String>,
    /// What is to be looked at; the last one next.
    ahead: Vec<Descriptor>,
    /// Platforms that were met and are not ours.
    others: BTreeSet<String>,
    documents: usize,
    documents_max: usize,
    /// The index that names images was seen.
    named: bool,
}

impl Selection {
    pub(super) fn new(reference: Option<String>, limits: &Limits) -> Self {
        Self {
            reference,
            ahead: Vec::new(),
            others: BTreeSet::new(),
            documents: 0,
            documents_max: limits.documents_max,
            named: false,
        }
    }

    /// The name that was asked for.
    pub(super) fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Takes the members of an index; the first index is the one that has the images' names.
    pub(super) fn add_index(&mut self, mut members: Vec<Descriptor>) -> Result<(), ImageError> {
        if !self.named {
            self.named = true;
            self.pick_by_name(&mut members)?;
        }
        let (mut ours, mut unknown) = (Vec::new(), Vec::new());
        for member in members {
            match &member.platform {
                Some(platform) if platform.is_ours() => ours.push(member),
                Some(platform) if platform.is_none() => {}
                Some(platform) => self.note(platform_name(&platform.os, &platform.architecture)),
                None => unknown.push(member),
            }
        }
        // They are taken from the end.
        self.ahead.extend(unknown.into_iter().rev());
        self.ahead.extend(ours.into_iter().rev());
        Ok(())
    }

    /// Without a name asked for, members with several names are several images to choose from.
    fn pick_by_name(&mut self, members: &mut Vec<Descriptor>) -> Result<(), ImageError> {
        let names = |members: &[Descriptor]| -> BTreeSet<String> {
            members
                .iter()
                .flat_map(|member| member.names.iter().cloned())
                .collect()
        };
        if let Some(wanted) = &self.reference {
            let there = names(members);
            members.retain(|member| is_called(&member.names, wanted));
            if members.is_empty() {
                return Err(ImageError::NoSuchReference {
                    wanted: wanted.chars().take(160).collect(),
                    there: list(&there),
                });
            }
            return Ok(());
        }
        let mut usable = members.clone();
        usable.retain(|member| {
            member
                .platform
                .as_ref()
                .is_none_or(|platform| platform.is_ours())
        });
        let images: BTreeSet<_> = usable.iter().map(|member| member.digest).collect();
        if images.len() > 1 && usable.iter().all(|member| !member.names.is_empty()) {
            return Err(ImageError::AmbiguousReference {
                there: list(&names(&usable)),
            });
        }
        Ok(())
    }

    /// Notes a platform that is not ours.
    pub(super) fn note(&mut self, platform: String) {
        const OTHERS_MAX: usize = 16;
        if self.others.len() < OTHERS_MAX {
            self.others.insert(platform);
        }
    }

    /// The next document to look at.
    pub(super) fn next(&mut self) -> Result<Descriptor, ImageError> {
        let Some(next) = self.ahead.pop() else {
            return Err(self.nothing());
        };
        self.documents += 1;
        if self.documents > self.documents_max {
            return Err(ImageError::TooLarge {
                what: "indexes and manifests on the way to it",
                limit: self.documents_max as u64,
            });
        }
        Ok(next)
    }

    /// Why there is no image for us.
    pub(super) fn nothing(&self) -> ImageError {
        let others: Vec<&str> = self.others.iter().map(String::as_str).collect();
        match others.split_last() {
            None => ImageError::NotAnImage {
                reason: "its index lists none".to_owned(),
            },
            Some((last, [])) => ImageError::OtherPlatform {
                found: (*last).to_owned(),
            },
            Some((last, rest)) => ImageError::OtherPlatform {
                found: format!("{} and {last}", rest.join(", ")),
            },
        }
    }
}
