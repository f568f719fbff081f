/* A Modbus client on libmodbus, for tests of the simulator: client tcp PORT | client rtu DEVICE
 * Reads, writes and reads back with every function that libmodbus has; prints what it saw, one line each. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what)
{
    printf("%s: %s\n", what, modbus_strerror(errno));
    return 1;
}

int main(int count, char **words)
{
    uint16_t registers[MODBUS_MAX_READ_REGISTERS];
    uint8_t bits[64];
    if (count != 3)
        return 2;
    modbus_t *bus = strcmp(words[1], "rtu") ? modbus_new_tcp("127.0.0.1", atoi(words[2]))
                                            : modbus_new_rtu(words[2], 115200, 'N', 8, 1);
    modbus_set_slave(bus, 5);
    modbus_set_response_timeout(bus, 2, 0);
    if (modbus_connect(bus) != 0)
        return failed("connect");
    if (modbus_read_registers(bus, 0, 125, registers) != 125)
        return failed("read_registers");
    printf("registers %u %u %u\n", registers[0], registers[1], registers[124]);
    if (modbus_read_input_registers(bus, 7, 2, registers) != 2)
        return failed("read_input_registers");
    printf("inputs %u %u\n", registers[0], registers[1]);
    if (modbus_read_bits(bus, 0, 20, bits) != 20)
        return failed("read_bits");
    printf("coils ");
    for (int place = 0; place < 20; place++)
        putchar('0' + bits[place]);
    if (modbus_read_input_bits(bus, 1, 3, bits) != 3)
        return failed("read_input_bits");
    printf("\ndiscretes %u%u%u\n", bits[0], bits[1], bits[2]);
    uint8_t three[] = {1, 0, 1};
    uint16_t two[] = {78, 79};
    if (modbus_write_bit(bus, 40, 1) != 1 || modbus_write_bits(bus, 41, 3, three) != 3)
        return failed("write_bits");
    if (modbus_write_register(bus, 200, 77) != 1 || modbus_write_registers(bus, 201, 2, two) != 2)
        return failed("write_registers");
    if (modbus_mask_write_register(bus, 200, 0xFF00, 0x0003) != 1)
        return failed("mask_write");
    if (modbus_write_and_read_registers(bus, 203, 2, two, 200, 5, registers) != 5)
        return failed("write_and_read");
    printf("written %u %u %u %u %u\n", registers[0], registers[1], registers[2], registers[3], registers[4]);
    int refused = modbus_read_registers(bus, 250, 1, registers);
    printf("refused %d %s\n", refused, modbus_strerror(errno));
    modbus_close(bus);
    modbus_free(bus);
    return 0;
}
