"""Commands of `reprise gdb`: the position in a recording, its processes, and moves that gdb notices.

What comes from the guest (names of files, above all) is a stranger's: gdb's commands take a line of text, so nothing of
it gets into one that is not a plain path.
"""
import os
import re

import gdb


class reprise:
    """What the commands share."""

    # Folder in which source texts of the guest are kept while gdb runs.
    sources = None
    tried = set()
    # Breakpoints that were on when the last run began.
    enabled = set()


# Callers whose source texts are fetched at a stop.
FRAMES = 32

# A path that means nothing else to gdb. Folders above the file's own are named, so that no rule covers everything.
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9_@+=,][A-Za-z0-9_.@+=,-]*){2,}\Z")
PLAIN_PROGRAM = re.compile(r"(/[A-Za-z0-9_@+=,][A-Za-z0-9_.@+=,-]*)+\Z")


def monitor(line):
    return gdb.execute("monitor " + line, to_string=True).rstrip("\n")


def program_of(pid):
    """The guest's path of the program that a process executes here, or None."""
    reply = gdb.execute("maintenance packet qXfer:exec-file:read:%x:0,1000" % pid, to_string=True)
    found = re.search(r'received: "[lm](.*)"', reply)
    return found.group(1) if found and PLAIN_PROGRAM.match(found.group(1)) else None


def switch_to_stopped(said):
    """Selects the thread that a position was told with. Whether that was another."""
    wanted = re.search(r"thread (\d+) \(", said)
    shown = gdb.selected_thread()
    if not wanted or (shown is not None and shown.ptid[1] == int(wanted.group(1))):
        return False
    for inferior in gdb.inferiors():
        for thread in inferior.threads():
            if thread.ptid[1] == int(wanted.group(1)):
                thread.switch()
                return True
    return False


def refresh(said):
    """Lets gdb look again at threads, registers and programs after a move. `said` names the thread to show."""
    gdb.execute("maintenance flush register-cache", to_string=True)
    gdb.execute("info threads", to_string=True)
    switch_to_stopped(said)
    for inferior in gdb.inferiors():
        if not inferior.pid or not inferior.threads():
            continue
        program = program_of(inferior.pid)
        known = inferior.progspace.filename or ""
        if program and not known.endswith(program):
            shown = gdb.selected_thread()
            inferior.threads()[0].switch()
            gdb.execute("file target:" + program, to_string=True)
            if shown is not None and shown.is_valid():
                shown.switch()


def show_frame():
    try:
        fetch_source(gdb.selected_frame().find_sal().symtab)
        gdb.execute("frame")
    except gdb.error as error:
        print(error)


def fetch_source(table):
    """Copies a source text out of the guest, where the guest has it and this computer does not."""
    if table is None or reprise.sources is None:
        return
    name = os.path.normpath(table.fullname())
    if name in reprise.tried or not PLAIN_PATH.match(name) or os.path.exists(name):
        return
    reprise.tried.add(name)
    folder = os.path.dirname(name)
    local = reprise.sources + folder
    os.makedirs(local, exist_ok=True)
    try:
        gdb.execute("remote get %s %s" % (name, reprise.sources + name), to_string=True)
    except gdb.error:
        # The guest has the program alone; gdb says itself that there is no source.
        return
    gdb.execute("set substitute-path %s %s" % (folder, local), to_string=True)


def on_stop(_event):
    try:
        # When gdb meets a new process at a stop, it turns to that.
        if switch_to_stopped(monitor("when")):
            gdb.execute("frame")
        # A breakpoint whose program was not there on the way has been switched off by gdb.
        for breakpoint in gdb.breakpoints():
            if breakpoint.number in reprise.enabled and not breakpoint.enabled:
                try:
                    breakpoint.enabled = True
                except gdb.error:
                    # Its program is not here. It is tried again at the next stop.
                    pass
        frame = gdb.selected_frame()
        for _ in range(FRAMES):
            if frame is None:
                return
            fetch_source(frame.find_sal().symtab)
            frame = frame.older()
    except gdb.error:
        pass


def on_continue(_event):
    for breakpoint in gdb.breakpoints():
        if breakpoint.enabled:
            reprise.enabled.add(breakpoint.number)


def on_modified(breakpoint):
    # While nothing runs it is the person who switches one off.
    thread = gdb.selected_thread()
    if not breakpoint.enabled and thread is not None and thread.is_stopped():
        reprise.enabled.discard(breakpoint.number)


def on_program(event):
    # gdb shows the line of a stop before it tells of it, so the likely source is there before.
    try:
        main = event.new_objfile.lookup_global_symbol("main")
        if main is not None:
            fetch_source(main.symtab)
    except gdb.error:
        pass


gdb.events.stop.connect(on_stop)
gdb.events.cont.connect(on_continue)
gdb.events.breakpoint_modified.connect(on_modified)
gdb.events.new_objfile.connect(on_program)


class Move(gdb.Command):
    """A command that goes elsewhere in the recording."""

    def __init__(self, name, line, doc, needs=None):
        self.__doc__ = doc
        self.line = line
        self.needs = needs
        super().__init__(name, gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if self.needs and not argument.strip():
            raise gdb.GdbError(self.needs)
        said = monitor((self.line + " " + argument).strip())
        if said.startswith("reprise: "):
            raise gdb.GdbError(said[len("reprise: "):])
        print(said)
        refresh(said)
        show_frame()


class Ask(gdb.Command):
    """A command that only tells."""

    def __init__(self, name, line, doc):
        self.__doc__ = doc
        self.line = line
        super().__init__(name, gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        print(monitor((self.line + " " + argument).strip()))


class WhoWrote(gdb.Command):
    """Find the last writes to a variable, as `who-wrote counter`, or to 8 bytes at an address, as `who-wrote 0x12340`."""

    def __init__(self):
        super().__init__("who-wrote", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        if not argument.strip():
            raise gdb.GdbError("name a variable or an address")
        try:
            value = gdb.parse_and_eval(argument)
            if value.address is not None:
                where, length = int(value.address), value.type.sizeof
            elif re.match(r"(0x[0-9a-fA-F]+|[0-9]+|\$[A-Za-z_].*)\Z", argument.strip()):
                where, length = int(value), 8
            else:
                raise gdb.GdbError("`%s` is not in memory: it has no address that could be written to" % argument)
        except gdb.error as error:
            raise gdb.GdbError(str(error))
        print(monitor("who-wrote %#x %d" % (where & (1 << 64) - 1, max(length, 1))))


Move("seek", "seek", "Go to a position: seek N, +N, -N, time SECONDS, event N, mark NAME.",
     needs="where to? An icount N, +N, -N, time SECONDS, event N, or mark NAME")
Move("to-start", "start", "Go to where the machine was switched on.")
Move("to-end", "end", "Go to the end of the recording.")
Move("undiverge", "return", "End the diversion and go back to the recording.")
Ask("when", "when", "Tell the position in the recording.")
Ask("ps", "ps", "List the processes of the guest at this position.")
Ask("input-events", "events", "List the inputs of the recording around this position.")
WhoWrote()
