/* The network: the loopback interface, and the machine's card if it has one. */
#ifndef REPRISE_NETWORK_H
#define REPRISE_NETWORK_H

/* Gives the interfaces their addresses and switches them on; with a card, names can be looked up. */
void network_bring_up(void);

/* Says in /etc/resolv.conf where names are looked up, if there is a card. */
void network_write_name_server(void);

#endif
