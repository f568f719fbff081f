/* A Modbus server on libmodbus, for tests of the gateway: server tcp | server rtu DEVICE
 * Registers hold 257 * address, bits are set where the address divides by 3. Serves until its stdin ends. */
#include <modbus.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

enum { REGISTERS = 300, BITS = 96 };

static modbus_mapping_t *plant(void)
{
    modbus_mapping_t *map = modbus_mapping_new(BITS, BITS, REGISTERS, REGISTERS);
    for (int place = 0; map && place < REGISTERS; place++)
        map->tab_registers[place] = map->tab_input_registers[place] = (uint16_t)(257 * place);
    for (int place = 0; map && place < BITS; place++)
        map->tab_bits[place] = map->tab_input_bits[place] = place % 3 == 0;
    return map;
}

static int wait_for(int descriptor)
{
    struct pollfd watched[2] = {{descriptor, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    return poll(watched, 2, -1) > 0 && !watched[1].revents;
}

static void serve(modbus_t *bus, modbus_mapping_t *map)
{
    uint8_t request[MODBUS_MAX_ADU_LENGTH];
    while (wait_for(modbus_get_socket(bus))) {
        int size = modbus_receive(bus, request);
        if (size < 0)
            return;
        if (size > 0)
            modbus_reply(bus, request, size, map);
    }
}

int main(int count, char **words)
{
    modbus_mapping_t *map = plant();
    if (count == 3 && !strcmp(words[1], "rtu")) {
        modbus_t *bus = modbus_new_rtu(words[2], 115200, 'N', 8, 1);
        modbus_set_slave(bus, 1);
        if (modbus_connect(bus) != 0)
            return 1;
        puts("ready");
        fflush(stdout);
        serve(bus, map);
        modbus_close(bus);
        modbus_free(bus);
    } else {
        modbus_t *bus = modbus_new_tcp("127.0.0.1", 0);
        int listening = modbus_tcp_listen(bus, 4);
        struct sockaddr_in at;
        socklen_t size = sizeof at;
        if (listening < 0 || getsockname(listening, (struct sockaddr *)&at, &size) != 0)
            return 1;
        printf("%d\n", ntohs(at.sin_port));
        fflush(stdout);
        while (wait_for(listening) && modbus_tcp_accept(bus, &listening) >= 0) {
            serve(bus, map);
            modbus_close(bus);
        }
        close(listening);
        modbus_free(bus);
    }
    modbus_mapping_free(map);
    return 0;
}
