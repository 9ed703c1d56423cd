/* Stops an ext4 file system at one instant, as if its disk had lost its power: what its journal has not written is
 * lost, and every later write fails. What xfs calls GOINGDOWN, by the same number. */
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2

int main(int argc, char **argv) {
    uint32_t how = NO_LOG_FLUSH;
    int dir = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
    if (dir < 0 || ioctl(dir, EXT4_IOC_SHUTDOWN, &how) != 0) {
        perror("cannot shut the file system down");
        return 1;
    }
    return 0;
}
