//! A pocket calculator for the terminal.
//!
//! Each line is an expression such as `2 * (3 + x)`, or gives a name a value, as in `x = 4`. Known are `+ - * / % ^`,
//! a leading minus, parentheses, whole numbers and names. Mistakes are answered with a message, and the calculator
//! goes on; an empty line does nothing, `quit` or the end of the input ends it with status 0.
//!
//! It has calculated correctly for years, until somebody typed a line that killed it. For instance
//!
//!   record -- /demos/parser
//!
//! and then type away. Something to try on the recording: from the panic, go back to the `push` whose number is missing.
//!
//! The bug: an operator that is typed makes the waiting ones that bind more tightly calculate first. That is right for
//! an operator between two numbers and wrong for a leading minus, which has no left side to finish. Since nothing but
//! `^` binds more tightly than the minus, only `2^-1` and its like make an operator calculate before its right side is
//! there.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Write};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Number(i64),
    /// Where the name begins and ends in the line.
    Name(usize, usize),
    Operator(Operator),
    Open,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
    Power,
}

impl Operator {
    /// How tightly an operator binds.
    fn precedence(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide | Self::Remainder => 2,
            Self::Negate => 3,
            Self::Power => 4,
        }
    }

    /// How tightly a waiting operator has to bind so that it calculates before this one: `2 - 3 - 4` begins on the
    /// left, `2 ^ 3 ^ 4` and `--2` on the right.
    fn precedence_before(self) -> u8 {
        match self {
            Self::Negate | Self::Power => self.precedence() + 1,
            _ => self.precedence(),
        }
    }
}

/// What the person is told about a line that can't be calculated.
#[derive(Debug)]
enum Mistake {
    StrangeCharacter(char),
    NumberTooLarge,
    UnknownName(String),
    Unbalanced,
    Incomplete,
    Overflow,
    DivisionByZero,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StrangeCharacter(character) => write!(f, "I don't know what `{character}` means"),
            Self::NumberTooLarge => write!(f, "that number is too large"),
            Self::UnknownName(name) => write!(f, "`{name}` has no value"),
            Self::Unbalanced => write!(f, "the parentheses don't match"),
            Self::Incomplete => write!(f, "something is missing"),
            Self::Overflow => write!(f, "the result is too large"),
            Self::DivisionByZero => write!(f, "can't divide by zero"),
        }
    }
}

fn tokenize(line: &str) -> Result<Vec<Token>, Mistake> {
    let mut tokens = Vec::new();
    let mut rest = line.char_indices().peekable();
    while let Some((start, character)) = rest.next() {
        let token = match character {
            ' ' | '\t' => continue,
            '0'..='9' => {
                let mut value = i64::from(character as u8 - b'0');
                while let Some((_, digit)) = rest.next_if(|(_, next)| next.is_ascii_digit()) {
                    let digit = i64::from(digit as u8 - b'0');
                    let longer = value.checked_mul(10).and_then(|value| value.checked_add(digit));
                    value = longer.ok_or(Mistake::NumberTooLarge)?;
                }
                Token::Number(value)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let mut end = start + 1;
                while let Some((at, _)) = rest.next_if(|(_, next)| next.is_ascii_alphanumeric() || *next == '_') {
                    end = at + 1;
                }
                Token::Name(start, end)
            }
            '+' => Token::Operator(Operator::Add),
            '-' => match tokens.last() {
                Some(Token::Number(_) | Token::Name(..) | Token::Close) => Token::Operator(Operator::Subtract),
                _ => Token::Operator(Operator::Negate),
            },
            '*' => Token::Operator(Operator::Multiply),
            '/' => Token::Operator(Operator::Divide),
            '%' => Token::Operator(Operator::Remainder),
            '^' => Token::Operator(Operator::Power),
            '(' => Token::Open,
            ')' => Token::Close,
            other => return Err(Mistake::StrangeCharacter(other)),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

/// Numbers and operators that wait for what comes next in the line.
struct Stacks {
    numbers: Vec<i64>,
    waiting: Vec<Token>,
}

impl Stacks {
    /// Lets the last waiting operator calculate.
    fn calculate(&mut self, operator: Operator) -> Result<(), Mistake> {
        let right = self.numbers[self.numbers.len() - 1];
        self.numbers.pop();
        if operator == Operator::Negate {
            self.numbers.push(right.checked_neg().ok_or(Mistake::Overflow)?);
            return Ok(());
        }
        let left = self.numbers[self.numbers.len() - 1];
        self.numbers.pop();
        let result = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::Divide | Operator::Remainder if right == 0 => return Err(Mistake::DivisionByZero),
            Operator::Divide => left.checked_div(right),
            Operator::Remainder => left.checked_rem(right),
            Operator::Negate | Operator::Power => power(left, right),
        };
        self.numbers.push(result.ok_or(Mistake::Overflow)?);
        Ok(())
    }

    /// Lets every waiting operator calculate that binds at least as tightly as `precedence`.
    fn calculate_down_to(&mut self, precedence: u8) -> Result<(), Mistake> {
        while let Some(Token::Operator(operator)) = self.waiting.last().copied() {
            if operator.precedence() < precedence {
                break;
            }
            self.waiting.pop();
            self.calculate(operator)?;
        }
        Ok(())
    }
}

fn power(base: i64, exponent: i64) -> Option<i64> {
    u32::try_from(exponent).ok().and_then(|exponent| base.checked_pow(exponent))
}

/// Checks that numbers and operators take turns, so that the calculation finds a number wherever it needs one.
fn check_order(tokens: &[Token]) -> Result<(), Mistake> {
    let mut wants_number = true;
    for token in tokens {
        let fits = match token {
            Token::Number(_) | Token::Name(..) => std::mem::replace(&mut wants_number, false),
            Token::Open | Token::Operator(Operator::Negate) => wants_number,
            Token::Close => !wants_number,
            Token::Operator(_) => !std::mem::replace(&mut wants_number, true),
        };
        if !fits {
            return Err(Mistake::Incomplete);
        }
    }
    if wants_number { Err(Mistake::Incomplete) } else { Ok(()) }
}

/// Calculates an expression by Dijkstra's shunting-yard algorithm.
fn evaluate(line: &str, names: &BTreeMap<String, i64>) -> Result<i64, Mistake> {
    let tokens = tokenize(line)?;
    check_order(&tokens)?;
    let mut stacks = Stacks { numbers: Vec::new(), waiting: Vec::new() };
    for token in tokens {
        match token {
            Token::Number(value) => stacks.numbers.push(value),
            Token::Name(start, end) => {
                let name = &line[start..end];
                let value = names.get(name).ok_or_else(|| Mistake::UnknownName(name.to_owned()))?;
                stacks.numbers.push(*value);
            }
            Token::Operator(operator) => {
                stacks.calculate_down_to(operator.precedence_before())?;
                stacks.waiting.push(token);
            }
            Token::Open => stacks.waiting.push(token),
            Token::Close => {
                stacks.calculate_down_to(0)?;
                if stacks.waiting.pop() != Some(Token::Open) {
                    return Err(Mistake::Unbalanced);
                }
            }
        }
    }
    stacks.calculate_down_to(0)?;
    if stacks.waiting.is_empty() { Ok(stacks.numbers[0]) } else { Err(Mistake::Unbalanced) }
}

/// Splits `name = expression`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, expression) = line.split_once('=')?;
    let name = name.trim();
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    is_name.then_some((name, expression))
}

fn main() -> io::Result<()> {
    let mut names = BTreeMap::new();
    let mut output = io::stdout().lock();
    write!(output, "> ")?;
    output.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let line = line.trim();
        if line == "quit" {
            break;
        }
        let (name, expression) = assignment(line).unwrap_or(("it", line));
        if !line.is_empty() {
            match evaluate(expression, &names) {
                Ok(value) => {
                    writeln!(output, "{name} = {value}")?;
                    names.insert(name.to_owned(), value);
                }
                Err(mistake) => writeln!(output, "{mistake}")?,
            }
        }
        write!(output, "> ")?;
        output.flush()?;
    }
    Ok(())
}
