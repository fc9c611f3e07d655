"What tests may reach: this machine."
import socket

def offline():
    "Let this process reach no other machine"
    def guarded(connect):
        def inner(self, address):
            host = address[0] if isinstance(address, tuple) else ''          # a path: a socket of this machine
            if host and host!='localhost' and host!='::1' and not host.startswith('127.'):
                raise OSError(f'no network in tests, but something wants {address}')
            return connect(self, address)
        return inner
    for name in ('connect', 'connect_ex'): setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
