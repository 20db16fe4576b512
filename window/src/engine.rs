//! An engine on a thread of its own, and the app's way to it.

use crate::shown::Shared;
use crate::supplies::{self, Places};
use reprise_ui::link::Link;
use reprise_worker::engine::{Engine, Next};
use reprise_worker::protocol::{Message, Request};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The way to an engine. When it goes, the engine ends.
pub(crate) struct ThreadLink {
    /// Taken when the engine is to end: it ends when nobody can ask it any more.
    requests: Option<Sender<Request>>,
    messages: Receiver<Message>,
    thread: Option<JoinHandle<()>>,
    shared: Rc<Shared>,
}

/// Starts an engine, on a thread of this name. Whenever it has said something, the window is drawn anew.
///
/// # Errors
/// When the system starts no thread.
pub(crate) fn start(
    name: &str,
    context: &egui::Context,
    places: &Arc<Places>,
    shared: &Rc<Shared>,
) -> io::Result<ThreadLink> {
    let (requests, to_do) = mpsc::channel();
    let (said, messages) = mpsc::channel();
    let host = EngineHost {
        to_do,
        said,
        context: context.clone(),
        places: Arc::clone(places),
    };
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || host.run())?;
    Ok(ThreadLink {
        requests: Some(requests),
        messages,
        thread: Some(thread),
        shared: Rc::clone(shared),
    })
}

impl Link for ThreadLink {
    fn send(&mut self, request: Request) {
        if let Some(requests) = &self.requests {
            // One that has ended is told of by `poll`.
            let _ = requests.send(request);
        }
    }

    fn poll(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.messages.try_recv() {
                Ok(message) => messages.push(message),
                Err(TryRecvError::Empty) => return messages,
                Err(TryRecvError::Disconnected) => {
                    self.shared.engine_has_ended();
                    return messages;
                }
            }
        }
    }
}

impl Drop for ThreadLink {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It has told what went wrong by itself.
            let _ = thread.join();
        }
    }
}

/// Gives an engine its turns.
struct EngineHost {
    to_do: Receiver<Request>,
    said: Sender<Message>,
    context: egui::Context,
    places: Arc<Places>,
}

/// Whoever asks the engine is gone.
struct Gone;

impl EngineHost {
    fn run(self) {
        // Dropped after the host, also when the engine panics: the window then hears that it has ended.
        let _waker = Waker(self.context.clone());
        let host = self;
        let mut engine = Engine::new();
        let began = Instant::now();
        let mut clock = || began.elapsed();
        while host.receive(&mut engine).is_ok() {
            let next = engine.turn(&mut clock);
            if host.tell(&mut engine).is_err() {
                return;
            }
            let has_supplied = host.supply(&mut engine);
            let request = match next {
                _ if has_supplied => continue,
                Next::Now => continue,
                Next::At(at) => match host.to_do.recv_timeout(at.saturating_sub(began.elapsed())) {
                    Ok(request) => Some(request),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
                Next::Later => match host.to_do.recv() {
                    Ok(request) => Some(request),
                    Err(_) => return,
                },
            };
            if let Some(request) = request {
                engine.receive(request);
            }
        }
    }

    /// Hands over what has been asked meanwhile.
    fn receive(&self, engine: &mut Engine) -> Result<(), Gone> {
        loop {
            match self.to_do.try_recv() {
                Ok(request) => engine.receive(request),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn tell(&self, engine: &mut Engine) -> Result<(), Gone> {
        let mut has_told = false;
        while let Some(message) = engine.take_message() {
            self.said.send(message).map_err(|_| Gone)?;
            has_told = true;
        }
        if has_told {
            self.context.request_repaint();
        }
        Ok(())
    }

    /// Whether something was wanted.
    fn supply(&self, engine: &mut Engine) -> bool {
        let mut has_supplied = false;
        while let Some(want) = engine.take_want() {
            let supply = supplies::supply(&want, &self.places);
            engine.supply(&want, supply);
            has_supplied = true;
        }
        has_supplied
    }
}

/// Has the window drawn when it goes.
struct Waker(egui::Context);

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.request_repaint();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_worker::protocol::{Command, TraceSource};
    use std::time::Duration;

    fn engine() -> (ThreadLink, Rc<Shared>) {
        let shared = Rc::new(Shared::new(false));
        let places = Arc::new(Places::new(Vec::new()));
        let link = start("engine", &egui::Context::default(), &places, &shared);
        (link.unwrap(), shared)
    }

    fn answer(link: &mut ThreadLink) -> Message {
        let began = Instant::now();
        loop {
            if let Some(message) = link.poll().pop() {
                return message;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no answer");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_answers_while_it_sleeps_and_ends_when_it_is_dropped() {
        let (mut link, shared) = engine();
        for id in 1..=3 {
            link.send(Request {
                id,
                command: Command::Close,
            });
            assert_eq!(answer(&mut link), Message::Done { id });
        }
        assert_eq!(shared.take_notice(), None);
        // Returns only when the thread has ended.
        drop(link);
    }

    #[test]
    fn what_is_on_the_web_is_refused() {
        let (mut link, _) = engine();
        let url = "https://example.org/a.rpt".to_owned();
        link.send(Request {
            id: 7,
            command: Command::Open(TraceSource::Url(url)),
        });
        let Message::Failed { id: 7, message, .. } = answer(&mut link) else {
            panic!("it was not refused");
        };
        assert!(message.contains("download"), "{message}");
    }
}
