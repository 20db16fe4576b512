//! The way to an engine, wherever it runs.

use reprise_worker::protocol::{Message, Request};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// An engine, as the page sees it.
pub trait Link {
    /// Hands a request over.
    fn send(&mut self, request: Request);

    /// What the engine has said since the last time.
    fn poll(&mut self) -> Vec<Message>;

    /// Why the engine has ended by itself, if it has; for one without which the app goes on.
    fn end(&mut self) -> Option<String> {
        None
    }
}

/// A link to nobody, which keeps what is sent and says what it is told to: for tests.
#[derive(Clone, Default, Debug)]
pub struct Scripted {
    /// What the page has sent and nobody has looked at yet.
    pub sent: Rc<RefCell<VecDeque<Request>>>,
    /// What the page will hear.
    pub to_say: Rc<RefCell<Vec<Message>>>,
    /// Why it has ended.
    pub end: Rc<RefCell<Option<String>>>,
}

impl Link for Scripted {
    fn send(&mut self, request: Request) {
        self.sent.borrow_mut().push_back(request);
    }

    fn poll(&mut self) -> Vec<Message> {
        self.to_say.take()
    }

    fn end(&mut self) -> Option<String> {
        self.end.borrow().clone()
    }
}
