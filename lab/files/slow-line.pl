#!/usr/bin/perl
# A slow or lossy cable, for kernels without netem: passes frames between two interfaces, those to the first one
# delayed and in part lost.   slow-line.pl SERVER_SIDE BRIDGE_SIDE DELAY_MS LOSS_PERCENT
# Says "ready" once it passes frames; ends when it is killed.
use strict;
use warnings;
use Socket qw(SOCK_RAW SOL_SOCKET SO_RCVBUF);
use Time::HiRes qw(time);

# packet(7), linux/if_packet.h
use constant {
    AF_PACKET => 17, ETH_P_ALL => 0x0003, SOL_PACKET => 263,
    PACKET_VNET_HDR => 15, PACKET_IGNORE_OUTGOING => 23,
};
# More frames waiting than this are lost, as in any router.
use constant LIMIT => 10_000;

my ($server_side, $bridge_side, $delay_ms, $loss_percent) = @ARGV;
my $server = open_line($server_side);
my $bridge = open_line($bridge_side);
my @waiting;

$| = 1;
print "ready\n";
while (1) {
    my $until = @waiting ? $waiting[0][0] - time : undef;
    $until = 0 if defined $until && $until < 0;
    my $readable = '';
    vec($readable, fileno($_), 1) = 1 for $server, $bridge;
    # Undefined after a signal or an interface that went down: the sockets then say it themselves.
    select($readable, undef, undef, $until);
    if (vec($readable, fileno($server), 1)) {
        my $frame = receive($server);
        send($bridge, $frame, 0) if defined $frame;
    }
    if (vec($readable, fileno($bridge), 1)) {
        my $frame = receive($bridge);
        push @waiting, [time + $delay_ms / 1000, $frame]
            if defined $frame && @waiting < LIMIT && rand(100) >= $loss_percent;
    }
    while (@waiting && $waiting[0][0] <= time) {
        send($server, (shift @waiting)->[1], 0);
    }
}

sub open_line {
    my ($interface) = @_;
    my $line;
    socket($line, AF_PACKET, SOCK_RAW, unpack('S', pack('n', ETH_P_ALL))) or die "socket: $!\n";
    # With the virtio header, a frame whose checksum or segmentation was left to the card passes unharmed.
    setsockopt($line, SOL_PACKET, PACKET_VNET_HDR, pack('i', 1)) or die "PACKET_VNET_HDR: $!\n";
    setsockopt($line, SOL_PACKET, PACKET_IGNORE_OUTGOING, pack('i', 1)) or die "PACKET_IGNORE_OUTGOING: $!\n";
    setsockopt($line, SOL_SOCKET, SO_RCVBUF, pack('i', 4 << 20));
    open my $file, '<', "/sys/class/net/$interface/ifindex" or die "$interface: $!\n";
    chomp(my $index = <$file>);
    # struct sockaddr_ll: family, protocol (network order), interface, hardware type, packet type, address length, address
    bind($line, pack('S n i S C C a8', AF_PACKET, ETH_P_ALL, $index, 0, 0, 0, '')) or die "bind $interface: $!\n";
    return $line;
}

sub receive {
    my ($line) = @_;
    my $frame;
    return defined recv($line, $frame, 70_000, 0) && length $frame ? $frame : undef;
}
