"""A section for every registered observation that fits the legged robot, and its size there."""

LEGS = ["left_foot", "right_foot"]
COMMANDS = {"speed": [0.5, -0.25]}
# The robot has seven bodies: trunk, and thigh, shank and foot of each leg.
SECTIONS = {
    "action_position": ({}, 4),
    "actuator_acceleration": ({}, 4),
    "actuator_force": ({"joints": ["*_knee"]}, 2),
    "base_angular_acceleration": ({}, 3),
    "base_angular_velocity": ({}, 3),
    "base_height": ({}, 1),
    "base_linear_acceleration": ({}, 3),
    "base_linear_velocity": ({}, 3),
    "base_orientation": ({}, 4),
    "base_position": ({}, 3),
    "body_orientation": ({"bodies": LEGS}, 8),
    "body_position": ({"bodies": ["*_shank"]}, 6),
    "body_velocity": ({"bodies": LEGS}, 6),
    "center_of_mass_inertia": ({}, 70),
    "center_of_mass_velocity": ({}, 42),
    "command": ({"command": "speed"}, 2),
    "contact": ({"feet": ["trunk", "left_toe"]}, 2),
    "delayed_joint_position": ({"delay_steps": 2}, 4),
    "delayed_joint_velocity": ({"delay_steps": 2}, 4),
    "feet_contact": ({"feet": LEGS}, 2),
    "feet_force": ({"feet": LEGS}, 6),
    "feet_orientation": ({"feet": ["left_foot", "right_toe"]}, 8),
    "feet_position": ({"feet": LEGS}, 6),
    "feet_torque": ({"feet": LEGS}, 6),
    "joint_angle_cos_sin": ({}, 8),
    "joint_position": ({}, 4),
    "joint_velocity": ({}, 4),
    "projected_gravity": ({}, 3),
    "sensor": ({"sensors": ["gyro"]}, 3),
    "site_orientation": ({"sites": ["imu", "left_sole"]}, 8),
    "timestep": ({}, 1),
}
