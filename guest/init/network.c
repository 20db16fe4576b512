/* Brings the network up. The addresses are those of the host's gateway, which gives them to nobody else. */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define CARD "eth0"
#define ADDRESS 0x0a00020f /* 10.0.2.15 */
#define NETMASK 0xffffff00
#define GATEWAY 0x0a000202 /* 10.0.2.2 */
#define RESOLV_CONF "nameserver 10.0.2.3\n"

static struct sockaddr address_of(uint32_t address)
{
    struct sockaddr_in internet = { .sin_family = AF_INET, .sin_addr = { htonl(address) } };
    struct sockaddr any;

    memcpy(&any, &internet, sizeof any);
    return any;
}

static struct ifreq request_of(const char *interface)
{
    struct ifreq request;

    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    return request;
}

static void bring_up(int sock, const char *interface, uint32_t address, uint32_t netmask, short flags)
{
    struct ifreq request = request_of(interface);

    request.ifr_addr = address_of(address);
    if (ioctl(sock, SIOCSIFADDR, &request) != 0)
        say("can't give %s its address: %s", interface, strerror(errno));
    request.ifr_netmask = address_of(netmask);
    if (netmask != 0 && ioctl(sock, SIOCSIFNETMASK, &request) != 0)
        say("can't give %s its mask: %s", interface, strerror(errno));
    request.ifr_flags = flags;
    if (ioctl(sock, SIOCSIFFLAGS, &request) != 0)
        say("can't switch %s on: %s", interface, strerror(errno));
}

static bool has_card(int sock)
{
    struct ifreq request = request_of(CARD);

    return ioctl(sock, SIOCGIFFLAGS, &request) == 0;
}

static void add_default_route(int sock)
{
    struct rtentry route = {
        .rt_dst = address_of(INADDR_ANY),
        .rt_genmask = address_of(INADDR_ANY),
        .rt_gateway = address_of(GATEWAY),
        .rt_flags = RTF_UP | RTF_GATEWAY,
    };

    if (ioctl(sock, SIOCADDRT, &route) != 0)
        say("can't add the route to the network: %s", strerror(errno));
}

void network_bring_up(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (sock < 0) {
        say("no network: %s", strerror(errno));
        return;
    }
    bring_up(sock, "lo", INADDR_LOOPBACK, 0, IFF_UP | IFF_RUNNING | IFF_LOOPBACK);
    if (has_card(sock)) {
        bring_up(sock, CARD, ADDRESS, NETMASK, IFF_UP | IFF_RUNNING | IFF_BROADCAST);
        add_default_route(sock);
    }
    close(sock);
    network_write_name_server();
}

void network_write_name_server(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;
    bool is_there = sock >= 0 && has_card(sock);

    if (sock >= 0)
        close(sock);
    if (!is_there)
        return;
    /* A link would lead to wherever an image says. */
    unlink("/etc/resolv.conf");
    fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, RESOLV_CONF, sizeof RESOLV_CONF - 1) != sizeof RESOLV_CONF - 1)
        say("can't write /etc/resolv.conf: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}
